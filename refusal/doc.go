// Package refusal holds the one value that says "no" to a client: a stable
// code, a finer reason and a sentence that tells what to do.
//
// A refusal is not an error of ours: it is an answer. It changes nothing, moves
// no money and is built by whichever layer sees the fault first (the decoder,
// the price book, the ledger, the sequencer). How a code becomes an HTTP status
// is the business of package httpapi alone.
package refusal
