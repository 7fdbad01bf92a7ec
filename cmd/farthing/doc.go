// Command farthing meters usage, keeps the money in a double-entry ledger and
// settles it in batches. This package is wiring only: flags, environment,
// configuration file, logging, signals and exit codes. What a command does
// lives in the package that the command calls.
//
// Every command is a struct in a file of its own with a method
// Run(*Context) error; main.go lists them in the type commands. Settings come
// from, in falling order of precedence, the command line, FARTHING_*
// environment variables, the YAML file named by --config, and the defaults
// written on the struct.
//
// Exit codes: 0 success, 1 the command failed, 2 the command line, the
// environment or the configuration file is wrong and nothing was done, 3 what was
// to be compared could not be read and nothing is known.
package main
