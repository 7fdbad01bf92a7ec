// Package postgres starts a real PostgreSQL server, reachable through a Unix socket only, with a data directory of its own that goes
// with it, for tests and for the benchmark.
//
// The server ends with the process that started it, however that ends: the shell that runs it waits for the end of a pipe that only that process
// holds, then stops it and removes the directory. PostgreSQL refuses to run as root, so there it runs as the user postgres or nobody.
//
// Server.CreateDatabase and Server.Query work on it through psql, so that nobody needs a driver for that; Server.DSN is for programs.
package postgres
