// Package soak gives tests two sizes: a small one for every `make test` and the full one for `make soak`, and a place to say what a run came to.
//
// A test takes its sizes from Pick, its seed from Seed and ends with Report. In a full run (FARTHING_SOAK=full) the rows of all tests go to
// the file that FARTHING_SOAK_REPORT names, one JSON object a line; the program in report makes docs/soak.md of the last row of each test.
//
// It decides nothing about passing: a test that lost something fails by itself.
package soak
