// Package httpapi is Farthing's outside: it speaks HTTP and JSON to clients and
// plain Go values to the engine. It is the only package that knows fasthttp, and
// openapi.yaml, the full text of the outside contract, lives here.
//
// Its few types:
//
//   - Server: the handlers behind a fasthttp server. New builds it, Serve runs it
//     on a listener, Drain ends it after answering what is in flight.
//   - Engine: what the server needs from the engine, declared here so that tests
//     bring their own.
//   - Options, Keys, Scopes: limits, and who may do what.
//
// Two kinds of bodies are read here. Usage events are the hot path: decoder reads
// four content types without allocating per event (scan.go, decode.go, event.go).
// Operations on holds are read by the same decoder, strictly, with the event or the
// estimate of each read as events are (hold_decode.go).
// Everything else is cold and strict: object refuses unknown, duplicate and
// differently spelled keys (strict.go).
//
// One kind of answer is a stream: what past events would come to under other prices
// (rehearsal.go). Its work has a goroutine, which ends before the stream is closed.
//
// One kind of answer may wait: notifications, until there is one (credit_notifications.go). It
// takes its turn among the long answers when it has waited, and ends early when the server stops.
//
// Nothing of a fasthttp.RequestCtx outlives its handler. A body is read only
// after Engine.Acquire has granted the budget for it, or Engine.Grow for the part
// that comes next, and the budget goes back when the answer has been built.
// Everything in an answer has been copied by then.
//
// What a client can make the server hold is bounded on every way: connections and
// their deadlines (conns.go), bodies (body.go), answers being built or not yet taken
// (limits.go), log lines (log.go). A clientConn belongs to the goroutine that fasthttp
// gives it; Drain alone reaches into it from outside, under its lock.
//
// The package does not decide anything about money, identity or time windows and
// stores nothing. It turns refusals into problem documents (problem.go) and counts
// what it did (metrics.go). It never logs a payload, a path or a key,
// of which only the id is named.
package httpapi
