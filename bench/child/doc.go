// Package child runs the server as a child process: start it on a free
// loopback port, wait until it is ready, stop it with SIGTERM, kill it with
// SIGKILL, start it again on the same data, and run `verify` on what it left.
//
// A Server is owned by one goroutine, which alone calls Start, Terminate and
// Kill; URL may be called from any. It signals only the process it started, by
// its own process id. It does not create or remove the data directory.
package child
