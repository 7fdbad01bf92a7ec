// Command report makes docs/soak.md of the rows that the tests of a full run wrote:
//
//	report ROWS > docs/soak.md
//
// Of each test and subject the last row counts, so that one test can be run anew.
package main
