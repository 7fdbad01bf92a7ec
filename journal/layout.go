package journal

import "encoding/binary"

// The names and first bytes of everything stored. A ledger directory is
//
//	DIR/LOCK             held while the directory is open
//	DIR/ledger/HEAD      the head record (head.go)
//	DIR/ledger/store/    Pebble
//	DIR/ledger/build/    tables being built; emptied at open
//	DIR/ledger.new/      a ledger being created; becomes ledger/ by one rename
//	DIR/incoming/        a ledger being restored or imported: its ledger/ becomes DIR/ledger by one rename
//	DIR/signing-key.pem  may stand there: the key that signs batches, which this package does not touch
const (
	lockName = "LOCK"
	liveName = "ledger"
	newName  = "ledger.new"

	stageName = "incoming"

	signingKeyName = "signing-key.pem"

	headName  = "HEAD"
	storeName = "store"
	buildName = "build"
)

// The first byte of a key says what it is. The order of the bytes matters: tables lie below the journal, and the journal below the
// mutable rows. A flush of the memtable writes the newest blocks and the touched rows side by side, and one of its files
// usually spans both. With rows above the journal that file covers no older block and no table, so compacting it rewrites
// neither; with rows below, it would cover all older blocks.
const (
	kindFirst = 0x10 // tables: kind | id (8 bytes, big-endian) | key
	kindLast  = 0x5f
	blockByte = 'j'  // journal: 'j' | first sequence (8 bytes, big-endian)
	spaceLow  = 0x70 // rows: space | key
	spaceHigh = 0xef
	metaByte  = 0xf0 // our own rows
)

// Kind names a family of immutable tables.
type Kind byte

// The kinds of tables.
const (
	// KindCheckpoint is the state at a cut; the id is the checkpoint's.
	KindCheckpoint Kind = 0x10
	// KindBase is the state where the stored history begins; the id is the last sequence before that.
	KindBase Kind = 0x11
	// KindIdentity is a run of the identity index.
	KindIdentity Kind = 0x20
	// KindIdentityFilter holds the persisted filter of the identity run of the same id.
	KindIdentityFilter Kind = 0x21
	// KindKept holds the identities that stay of runs that are forgotten.
	KindKept Kind = 0x23
	// KindStatement is a run of the statement index.
	KindStatement Kind = 0x30
)

// Space names a key space of mutable rows.
type Space byte

// The spaces of mutable rows.
const (
	// SpaceLines holds staged settlement lines.
	SpaceLines Space = 0x70
	// SpaceManifest holds the manifests of sealed batches.
	SpaceManifest Space = 0x71
	// SpaceEvidence holds tiles of evidence trees.
	SpaceEvidence Space = 0x72
	// SpacePublisher holds the publisher's own state.
	SpacePublisher Space = 0x73
	// SpaceMarker holds the markers that make ingested tables valid.
	SpaceMarker Space = 0x74
	// SpaceWebhooks holds the endpoints of webhooks and how far they are.
	SpaceWebhooks Space = 0x75
)

// writesKey is the row that counts the synced writes outside of groups; the head record holds the same count.
var writesKey = []byte{metaByte, 'w'}

const (
	blockKeyBytes    = 9
	tablePrefixBytes = 9
)

func (k Kind) valid() bool  { return k >= kindFirst && k <= kindLast }
func (s Space) valid() bool { return s >= spaceLow && s <= spaceHigh }

func putBlockKey(dst []byte, first uint64) {
	dst[0] = blockByte
	binary.BigEndian.PutUint64(dst[1:], first)
}

func blockKey(first uint64) []byte {
	key := make([]byte, blockKeyBytes)
	putBlockKey(key, first)
	return key
}

// blockSeq is the first sequence of the block under key; zero, which no block has, if it is no block's key.
func blockSeq(key []byte) uint64 {
	if len(key) != blockKeyBytes {
		return 0
	}
	return binary.BigEndian.Uint64(key[1:])
}

// rowKey is space | key.
func rowKey(space Space, key []byte) []byte {
	mustSpace(space)
	return append(append(make([]byte, 0, 1+len(key)), byte(space)), key...)
}

// rowBounds are the bounds [lo, hi) within a space; a nil hi is the end of the space.
func rowBounds(space Space, lo, hi []byte) (lower, upper []byte) {
	lower = rowKey(space, lo)
	if hi == nil {
		return lower, []byte{byte(space) + 1}
	}
	return lower, rowKey(space, hi)
}

// tableKey is kind | id | key.
func tableKey(kind Kind, id uint64, key []byte) []byte {
	mustKind(kind)
	full := append(make([]byte, 0, tablePrefixBytes+len(key)), byte(kind))
	full = binary.BigEndian.AppendUint64(full, id)
	return append(full, key...)
}

// tableBounds are the bounds [lo, hi) within a table; a nil hi is the end of the table.
func tableBounds(kind Kind, id uint64, lo, hi []byte) (lower, upper []byte) {
	lower = tableKey(kind, id, lo)
	switch {
	case hi != nil:
		upper = tableKey(kind, id, hi)
	case id == ^uint64(0):
		upper = []byte{byte(kind) + 1}
	default:
		upper = tableKey(kind, id+1, nil)
	}
	return lower, upper
}

func mustKind(kind Kind) {
	if !kind.valid() {
		panic("BUG: journal: key of an unknown table kind")
	}
}

func mustSpace(space Space) {
	if !space.valid() {
		panic("BUG: journal: row of an unknown space")
	}
}
