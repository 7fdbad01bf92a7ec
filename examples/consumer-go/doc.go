// Command consumer-go applies settlement batches from Kafka to PostgreSQL, each exactly once. What makes it exact:
//
//   - The last applied stream_seq is a row of the same database and changes in the same transaction as what is applied.
//   - A record whose stream_seq is not greater is dropped; a greater one than the next is a gap, and the program stops.
//   - Records without stream_seq, and of kinds that it does not know, are passed over.
//   - A batch becomes visible with its manifest, if its lines have the manifest's hash and sums, and its signature is good.
//
// It may be killed at any time and started again anywhere, twice at once too: the row is locked while records are applied.
package main
