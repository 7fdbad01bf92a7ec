// Package export writes a ledger's history as files that other programs can read, and makes a ledger of them again. docs/export.md is
// the format; this package is its only writer and reader.
//
// # Types
//
//   - Write exports what a directory does not have yet, in parts of bounded size. A part counts with its manifest, which comes last, so an export
//     that was interrupted goes on where it was.
//   - Check reads an export and proves that it is whole: every file has the hash that its manifest names, the commands make blocks whose hash chain
//     joins, each column is what the command's bytes say, parts follow each other.
//   - Prove makes the proof of an event of the parts, the same that the ledger gave.
//   - Import makes a ledger of an export, checking it on the way.
//
// A part is a file of commands (NDJSON compressed with gzip, or Parquet), one of the names that commands refer to by number if it does not begin
// with the history, one of the rows that go with the windows sealed in it, and its manifest. Beside the parts stands progress.json: how far streams
// are published.
//
// # Ownership and boundaries
//
// What a command says is engine's to tell (engine.ExportNames); bytes of blocks are hashed anew here, by the format and without
// package journal, so that a mistake of one is noticed by the other. Everything read is taken for hostile: sizes are bounded, nothing is believed that
// does not follow from the bytes, and an error names the file and the sequence. One call works on a directory at a time; nothing runs on after a call.
package export
