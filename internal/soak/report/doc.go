// Command report makes docs/soak.md of the rows that the tests of a full run wrote:
//
//	report ROWS COMMIT > docs/soak.md
package main
