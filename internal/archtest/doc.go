// Package archtest holds the rules of this repository that a machine can check,
// as tests: who may import whom, what pure packages must not touch, that
// packages and exported names are documented, how long files and functions may
// get, what must not stand in any file.
//
// The rules are tables in rules_test.go and apply to whatever packages exist; a new
// package needs a row there. Run them with -count=1: the go tool does not know
// that they read the whole tree and would serve a cached pass.
//
// A function over 70 lines or a file over 500 stands if the line before it (in
// a file: any line before the package clause) is a comment of the form
//
//	//farthing:long the reason
//
// The package has no code outside its tests.
package archtest
