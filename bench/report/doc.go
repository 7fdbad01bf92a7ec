// Package report is what a benchmark run comes to: every measurement, the
// summaries of repeats (medians and their range), and how much of each limit of the
// machine was reached. It is written as a table, as JSON that keeps
// everything, and as one HTML page that needs nothing else.
//
// A Report is plain data. Who makes one owns it; writing changes nothing.
package report
