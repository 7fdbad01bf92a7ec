// Package journal keeps the ledger's history on disk: groups of packed commands, chained by SHA-256, in one Pebble store,
// and a head record of its own that says how far that history reaches. It is the only package that imports Pebble. It knows
// bytes and sequence numbers; it knows nothing of events, accounts or money.
//
// # Types
//
//   - Store is an open ledger directory. Create makes one, Open opens one, OpenReadOnly opens one for a checker.
//   - Group is what one fsync commits: blocks of commands and the rows that must become true with them.
//   - Block is the unit of the hash chain; Head is the end of the durable history, Base the end of what was dropped of it.
//   - Row is a mutable row of a named key space (Space); a table (TableBuilder) is an immutable sorted run under a Kind and an id.
//
// # Guarantees
//
//  1. A group whose Commit returned is there after any crash, whole; a group whose Commit did not return is there whole or not at all.
//  2. Blocks are contiguous: each starts at the sequence after its predecessor and holds its predecessor's hash.
//  3. Head never names a group that is not fsynced. It may lag behind by what was committed in the last 100 ms before a power loss.
//  4. Open refuses a directory whose history does not reach the head record, and changes nothing in it.
//  5. DropBlocks removes the beginning of the history and notes where it begins then, both or neither; Open refuses one that begins elsewhere.
//  6. A directory without ledger is never taken for an empty ledger: only Create creates, and only in an empty directory.
//
// The stated limit: a power loss together with a flipped bit in the WAL within the last 100 ms may hide groups that were
// answered, because the head record of these groups was not yet fsynced. kill -9 alone loses nothing.
//
// # Who owns what
//
// Commit belongs to one goroutine, the committer; it owns the chain tip and the batch buffer. The head file is shared between the
// committer, callers of Write with sync, and the goroutine that fsyncs it; a lock guards it. A TableBuilder belongs to the goroutine that made it.
// Everything else may be called from anywhere.
//
// Readers see a row before its fsync, as Pebble does. Whoever answers a client must wait for the Commit or Write that made the
// row. Blocks and BlockAt stop at the durable head.
//
// # What it does not do
//
// It decodes no command, schedules no checkpoint and retries nothing. When a write of the log, the manifest or the head record fails
// it calls Options.Fatal, which must end the process: nobody knows then what is on the disk, and only a restart finds out. A table that
// cannot be written is told to who writes it; Health says that, and what hangs (guard.go).
package journal
