// Package suite runs a benchmark from beginning to end: the limits of the
// machine, each workload several times in a closed loop, single events and
// batches at fixed rates in an open loop, a restart, and profiles. What comes out is a
// report.Report.
//
// Every run has a server of its own on a fresh data directory, which is verified
// afterwards and removed, so that none pays for what another left behind. At a URL
// that is given, runs follow each other there, and what needs a server of one's own
// is listed as skipped.
package suite
