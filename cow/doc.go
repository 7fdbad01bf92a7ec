// Package cow holds Table, a growing table of fixed-size rows of which one
// snapshot at a time can be taken without stopping its owner.
//
// It is the one snapshot mechanism of the engine: checkpoints and the cut of a
// settlement window both read the rows as they were at one command, while later
// settlement window both read the rows as they were at one command, while later
// commands go on changing them. Before a row's first change after that command
// the old row is saved, or handed on at once where that is cheap; between groups
// a bounded number of rows nobody has touched is visited. Every row comes out
// exactly once.
// A table belongs to one goroutine, which calls all its methods. What a snapshot
// emits are copies that may be handed on.
package cow
