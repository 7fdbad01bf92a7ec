// Package publish relays the sealed records of an outbox to one Kafka partition, each exactly once in the eyes of a
// consumer that follows the contract, and reads what banks say of settled lines. It is the only package that knows Kafka.
//
// # Types
//
//   - Relay runs the loop. New checks the options, Run works until its context ends or the relay must stop.
//   - Outbox is what the relay needs from the ledger; the ledger's owner implements it. Record, Position, Attempt and
//     Confirmation are the values that pass through it.
//   - Options, with TLS, SASL and Compression, and Stats, with a Warning for each setting of the topic that endangers batches.
//   - ResultsReader reads the results topic, all partitions, at least once, and hands each Result to a ResultsLedger, which keeps the
//     positions and knows what it has booked. Bad messages and refusals end up in ResultsStats; they stop nothing.
//   - TopicReader reads a partition as an independent consumer would, for those who check what was published.
//
// # How it works
//
// A session has one producer epoch. It starts with the procedure that makes everything before it certain:
//
//  1. Look, without touching anything: the partition is the one that the outbox names, reaches what was confirmed, and
//     the last confirmed record stands at its offset with its number and content, unless retention has passed it; else it is not the partition
//     that we published to, or not all of it, and the relay ends (ErrLost). Other content under our stream_seq is a forked
//     ledger and ends it too (ErrForked).
//  2. InitProducerID for the transactional id farthing/<ledger>/<partition>, with /<stream> after it unless that is settlement. It gives a new epoch. No transaction is ever begun.
//  3. Append a fence: one record without stream_seq. From its offset on the broker refuses every batch of an older epoch.
//     Earlier relays that the partition shows under other producer ids are fenced under those ids (fence.go says why).
//  4. Read on to the fence. What stands there is what there is: nothing of an older session can appear behind the fence any
//     more. Records that are ours and equal are confirmed; a fork that came in since the look is found here.
//
// Then it sends: the triple (producer id, epoch, sequence) is durable before the send, one record batch at a time, to
// one explicit partition, acks=all, one in flight. An answer that did not come, or that leaves open whether the batch
// was appended, is followed only by the identical bytes under the identical triple, which the broker recognises. It is
// never followed by a read and a new triple within the same epoch: the first send could still arrive after the read.
//
// A feed reads the outbox and encodes the next batch while one is in flight; time, triple and checksum stand before the records and are
// written when it is sent (chunk.stamp). If the next one is ready when an answer comes, its attempt is durable in the same step as the
// confirmation. What was sent is never written to again: a request that timed out may still be on its way out of kafka-go.
//
// A session ends, and the next one starts with a new epoch, when the broker lost its memory of the producer, when the
// outbox fails, and after Options.RenewEvery: a broker forgets silent producers after a day, and transactional ids after
// a week even while their producer sends, because it never begins a transaction. A forgotten id fences nobody.
//
// # Why not kafka.Writer
//
// Its zero value asks for no acks and loses silently, with RequireAll it repeats a retriable error as a new append (three copies and
// a nil error were seen), and after a context timeout it still delivers (claims_test.go). kafka-go's encoder writes producer id, epoch and
// sequence as -1 and allocates for each record, so encode.go has one of its own.
//
// # Ownership
//
// The goroutine in Run owns everything except the Stats, which stand under one mutex, and the feed, whose goroutine owns the encoder and
// ends with its session. kafka-go's transport starts its own for connections, and Run closes the transport before it returns. The
// ResultsReader has one goroutine.
//
// # What it does not do
//
// It seals nothing, books nothing, keeps nothing (all durable progress is the ledger's) and knows nothing of settlement batches.
package publish
