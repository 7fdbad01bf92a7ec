// Package compact is the compact binary form of a request of usage events. It costs a sender and the
// server a fraction of what JSON does, and says exactly the same: an event sent in one form and again in
// the other is a duplicate.
//
// Batch gathers events and gives the body of a request; Decode reads one into the batch that the
// engine takes. The format, version 1:
//
//	"FEB" 0x01     the first four bytes
//	uvarint        number of events
//	uvarint        number of sources; of each: uvarint length, bytes
//	uvarint        number of shapes; of each: uvarint length, bytes
//	8 bytes        base time, nanoseconds since the Unix epoch, big-endian, two's complement
//	events         to the end of the body, of each:
//	  uvarint        2 · number of its shape, plus 1 if it has a time (shapes and sources count from 0)
//	  uvarint        number of its source
//	  uvarint        length of the subject; bytes
//	  uvarint        length of the id; bytes
//	  varint         its time less the base time, if it has one
//	  uvarint        per component of the shape: 2 · whole units, or 2 · millionths + 1
//
// A shape is type, components and dimensions in the canonical form of meter.Shape: sorted, each name
// once. No quantity is zero: a component of which nothing was used is not in the shape. An event without
// usage, which is one call, has the component call. uvarint and varint are those of encoding/binary.
//
// What is wrong with one event refuses that one, with the code that JSON has for it. A body that does not keep to the
// format is refused whole. A provider's own usage object (usage_format) has no compact form.
//
// Nothing here opens anything, starts a goroutine or reads a clock. A Batch belongs to one goroutine.
package compact
