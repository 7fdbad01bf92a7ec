// Package postgrestest gives tests a real PostgreSQL server, reachable through a Unix socket only, with a data directory of its own that goes
// with it.
//
// Start starts one for a test; Server.CreateDatabase and Server.Query work on it through psql, so that a test needs no driver, and
// Server.DSN is for the programs under test.
//
// The server ends with the test binary, however that ends: the shell that runs it waits for the end of a pipe that only the test binary
// holds, then stops it and removes the directory. PostgreSQL refuses to run as root, so there it runs as the user postgres or nobody.
//
// Where PostgreSQL's programs are in neither PATH nor /usr/lib/postgresql, tests are skipped with one line; with CI=true they fail.
package postgrestest
