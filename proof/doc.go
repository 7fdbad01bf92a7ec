// Package proof checks from files alone, knowing only a public key, that an event was settled as
// somebody says: the event is a leaf of a batch's tree (RFC 6962), the tree's root stands in the
// batch's manifest, the manifest is signed, and it stands in an unbroken chain of signed manifests.
//
//   - [Document] is the proof of an event, as GET /v1/events/{source}/{id}/proof gives it; [New]
//     makes it, [ParseDocument] reads it.
//   - [Manifest] is a manifest with its signature, as GET /v1/settlements/{batch_id} gives it;
//     [ParseManifests] reads one, a JSON list, a page of the API or a line each.
//   - [Check] holds them against each other and says of each thing that has to be so whether it is.
//
// Nothing that a file says is believed because the file says it: hashes are computed from the leaf
// upwards, a manifest's batch id and canonical bytes from its fields. What the files repeat for
// people to read has to agree with what was computed.
//
// The package is pure. It neither asks a server nor knows where files or keys come from.
package proof
