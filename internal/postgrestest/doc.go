// Package postgrestest gives tests a real PostgreSQL server, as package postgres starts it.
//
// Where PostgreSQL's programs are in neither PATH nor /usr/lib/postgresql, tests are skipped with one line; with CI=true they fail.
package postgrestest
