// Package period is the calendar of limits and subscriptions, in UTC and in
// nanoseconds since 1970. It is pure: every time is an argument.
//
// Its few types:
//
//   - [Kind]: a fixed window, the same for everybody: the minute, hour, day or
//     month that holds a time. Limits count in them. Call and Total have none: one
//     is over at once, the other never.
//   - [Cycle]: recurring boundaries at midnight, by the day, on a day of the week or
//     on a day of the month. Subscriptions begin their periods at them.
//   - [Prorate]: the part of an amount that falls on a part of a period.
//
// Days have 86,400 seconds: times are those of a clock without leap seconds, as
// everywhere in Go. Times are from 1970 to the end of int64, in April 2262; one
// before that is a bug of the caller and panics.
//
// It does not know what is counted in a window or given in a period, reads no
// durations from text and has no time zones.
package period
