package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"sort"

	"farthing/journal"
)

// A base is the state right after a command C, from which the history goes on once what lies up to C was exported and dropped. It is
// a table like a full checkpoint, with a chunk before it that says where it stands. Command 23 chains it into the journal: it
// names C, the chain's hash there, the hash of the table's chunks, and the manifest of the exported part. So
// whoever has the journal from C+1 on can tell whether a base is its own, and whether a part is the one that was dropped.

// chunkBase begins a base: what a checkpoint leaves to the journal.
const chunkBase = 'J'

// droppedPart is a stretch of history that was exported: from the one before it to through.
type droppedPart struct {
	through  uint64   // last sequence; a group ends there
	time     int64    // of that group
	chain    [32]byte // hash of the block that ends there
	table    [32]byte // of the base table's chunks
	manifest [32]byte // of the last part exported by then; it may go on behind through
	// Where it was journaled. Not in the command.
	seq uint64
	at  int64
}

func (p *droppedPart) append(dst []byte) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, p.through), uint64(p.time))
	dst = append(append(dst, p.chain[:]...), p.table[:]...)
	return append(dst, p.manifest[:]...)
}

func (r *reader) droppedPart() *droppedPart {
	return &droppedPart{through: r.uvarint(), time: int64(r.uvarint()), chain: r.hash(), table: r.hash(), manifest: r.hash()}
}

// droppedTo is the last sequence that the journal says was exported; 0: nothing was.
func (t *tables) droppedTo() uint64 {
	if n := len(t.dropped); n > 0 {
		return t.dropped[n-1].through
	}
	return 0
}

// partOf finds the exported part that has a sequence; nil: it was not exported.
func (t *tables) partOf(seq uint64) (after uint64, p *droppedPart) {
	i := sort.Search(len(t.dropped), func(i int) bool { return t.dropped[i].through >= seq })
	if i == len(t.dropped) {
		return 0, nil
	}
	if i > 0 {
		after = t.dropped[i-1].through
	}
	return after, t.dropped[i]
}

// errRerated: a rerate began while the part was exported.
var errRerated = errors.New("what it goes over is kept")

// checkBase says whether a part may go, as far as the state can tell: it is settled, nothing is between its cut and its
// seal, and no rerate is going over it.
func (s *state) checkBase(p *droppedPart) error {
	if p.through <= s.droppedTo() || p.through >= s.seq {
		return fmt.Errorf("history up to %d cannot be dropped after %d, at %d", p.through, s.droppedTo(), s.seq)
	}
	if p.through > s.forgotten {
		return fmt.Errorf("history up to %d cannot be dropped: identities are forgotten up to %d", p.through, s.forgotten)
	}
	if n := len(s.rerates); n > 0 && s.rerates[n-1].done == 0 {
		return fmt.Errorf("history up to %d cannot be dropped while rerate %s is under way: %w", p.through, s.rerates[n-1].id, errRerated)
	}
	if i := windowIndex(s.windows, p.through); i == len(s.windows) || between(s.windows, p.through) {
		return fmt.Errorf("history up to %d cannot be dropped: it is not settled", p.through)
	}
	return nil
}

// between reports whether a window was cut and not sealed at a command: no state can be kept there.
func between(windows []*window, seq uint64) bool {
	i := windowIndex(windows, seq)
	return i < len(windows) && windows[i].cut == seq || i > 0 && windows[i-1].cut <= seq && seq < windows[i-1].sealed
}

// applyBase notes the part.
func (s *state) applyBase(p *droppedPart) {
	p.seq, p.at = s.seq, s.time
	s.dropped = append(s.dropped, p)
}

func (p *replayer) applyBase(r *reader) error {
	part := r.droppedPart()
	if err := r.end(); err != nil {
		return err
	}
	if err := p.state.checkBase(part); err != nil {
		return err
	}
	p.state.applyBase(part)
	return nil
}

// baseHeader is the first chunk of a base.
type baseHeader struct {
	born int64        // time of the genesis
	at   journal.Base // where it stands
}

func (h *baseHeader) append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, chunkBase), uint64(h.born))
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, h.at.Seq), uint64(h.at.Time))
	return append(dst, h.at.Hash[:]...)
}

func parseBaseHeader(chunk []byte) (h baseHeader, err error) {
	r := reader{p: chunk}
	if r.byte() != chunkBase {
		return h, errCodec
	}
	h.born = int64(r.uvarint())
	h.at = journal.Base{Seq: r.uvarint(), Time: int64(r.uvarint()), Hash: r.hash()}
	return h, r.end()
}

// chunkHash hashes chunks, each with its length before it.
type chunkHash struct{ hash.Hash }

func newChunkHash() chunkHash { return chunkHash{sha256.New()} }

func (h chunkHash) chunk(p []byte) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
	h.Write(p)
}

func (h chunkHash) sum() (out [32]byte) {
	h.Sum(out[:0])
	return out
}

// writeBase writes the base of a state, which belongs to the caller, and makes it valid.
func writeBase(store storage, h *baseHeader, s *state, trees *evidence) (sum [32]byte, err error) {
	chunks, err := store.NewTable(journal.KindBase, h.at.Seq)
	if err != nil {
		return sum, err
	}
	n, hashed := uint32(0), newChunkHash()
	add := func(chunk []byte) {
		if err == nil && len(chunk) > 1 {
			hashed.chunk(chunk)
			err = chunks.Add(binary.BigEndian.AppendUint32(nil, n), chunk)
			n++
		}
	}
	add(h.append(nil))
	add(s.appendHeader([]byte{chunkHeader}))
	job := checkpointJob{to: s.extent(), tables: s.tables, logs: s.logs()}
	job.appendTables(add)
	for _, t := range s.rowTables() {
		buf := []byte{t.kind}
		for i := range t.len() {
			if len(buf) >= chunkBytes {
				add(buf)
				buf = buf[:1]
			}
			buf = append(binary.AppendUvarint(buf, uint64(i)), t.encode(i)...)
		}
		add(buf)
	}
	add(trees.append([]byte{chunkEvidence}))
	if err != nil {
		return sum, err
	}
	sum = hashed.sum()
	return sum, store.Ingest([]table{chunks}, []journal.Row{{Space: journal.SpaceMarker, Key: baseMarkerKey(h.at.Seq), Value: sum[:]}})
}

func baseMarkerKey(through uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'b'}, through) }

// baseMarker is what makes a base valid.
type baseMarker struct {
	through uint64
	sum     [32]byte
}

// baseMarkers returns the valid bases in order.
func baseMarkers(store storage) (out []baseMarker, err error) {
	err = store.Scan(journal.SpaceMarker, []byte{'b'}, []byte{'b' + 1}, func(key, value []byte) (bool, error) {
		m := baseMarker{through: binary.BigEndian.Uint64(key[1:])}
		if copy(m.sum[:], value) != len(m.sum) || len(value) != len(m.sum) {
			return false, fmt.Errorf("base of sequence %d: its marker does not decode", m.through)
		}
		out = append(out, m)
		return true, nil
	})
	return out, err
}

// baseChunks calls fn with the chunks of a base in order and returns their hash.
func baseChunks(store storage, through uint64, fn func(chunk []byte) error) (sum [32]byte, err error) {
	n, hashed := uint32(0), newChunkHash()
	err = store.TableScan(journal.KindBase, through, nil, nil, func(key, value []byte) (bool, error) {
		if len(key) != 4 || binary.BigEndian.Uint32(key) != n || len(value) == 0 {
			return false, fmt.Errorf("base of sequence %d: chunk %d is missing: %w", through, n, errTableGone)
		}
		n++
		hashed.chunk(value)
		return true, fn(value)
	})
	if err == nil && n == 0 {
		err = fmt.Errorf("base of sequence %d: %w", through, errTableGone)
	}
	return hashed.sum(), err
}

// loadedBase is what a base gives.
type loadedBase struct {
	baseHeader
	state    *state
	evidence evidence
	sum      [32]byte // of its chunks
}

// loadBase reads the base of a sequence. Whether it is the one that the journal names is for the caller to see.
func loadBase(store storage, through uint64, aborted func() error) (out loadedBase, err error) {
	defer func() { refuseBroken(recover(), &err, "base of sequence %d", through) }()
	l := loader{evidence: newEvidence(), aborted: aborted}
	err = l.load(false, func(take func([]byte) error) (err error) {
		out.sum, err = baseChunks(store, through, func(chunk []byte) (err error) {
			if chunk[0] == chunkBase {
				out.baseHeader, err = parseBaseHeader(chunk)
				return err
			}
			return take(chunk)
		})
		return err
	})
	if err != nil {
		return out, err
	}
	if out.state, err = l.finish(); err != nil {
		return out, fmt.Errorf("base of sequence %d: %w", through, err)
	}
	for _, t := range out.state.rowTables() {
		t.restored()
	}
	out.evidence = l.evidence
	if out.at.Seq != through || out.state.seq != through {
		return out, fmt.Errorf("base of sequence %d is that of %d", through, out.state.seq)
	}
	return out, nil
}

// start is the state that the stored history goes on from, for who replays it from its beginning.
func start(store storage, aborted func() error) (out loadedBase, err error) {
	if base := store.Base(); base.Seq > 0 {
		if out, err = loadBase(store, base.Seq, aborted); err == nil && out.at != base {
			err = fmt.Errorf("the base of sequence %d does not belong to the block after it", base.Seq)
		}
		return out, err
	}
	first, err := readGenesis(store)
	if err != nil {
		return out, err
	}
	out.born, out.state, out.evidence = first.time, newState(first.genesis), newEvidence()
	out.state.time = first.time
	return out, nil
}

// genesisAt is the genesis command and its time.
type genesisAt struct {
	genesis
	time int64
}

func readGenesis(store storage) (genesisAt, error) {
	if base := store.Base(); base.Seq > 0 {
		return baseGenesis(store, base.Seq)
	}
	b, err := store.BlockAt(1)
	if err != nil {
		return genesisAt{}, err
	}
	r := reader{p: b.Body}
	kind, payload := r.byte(), r.bytes()
	if r.end() != nil || kind != kindGenesis || b.Last != 1 {
		return genesisAt{}, fmt.Errorf("the journal does not begin with a genesis command alone")
	}
	g, err := parseGenesis(payload)
	return genesisAt{g, b.Time}, err
}

// baseGenesis reads the genesis from a base.
func baseGenesis(store storage, through uint64) (g genesisAt, err error) {
	errDone := fmt.Errorf("done")
	_, err = baseChunks(store, through, func(chunk []byte) error {
		switch chunk[0] {
		case chunkBase:
			h, err := parseBaseHeader(chunk)
			g.time = h.born
			return err
		case chunkHeader:
			var err error
			if g.genesis, _, err = cutGenesis(chunk[1:]); err != nil {
				return err
			}
		}
		return errDone
	})
	if errors.Is(err, errDone) {
		err = nil
	}
	if err == nil && (g.ledgerID == "" || g.time == 0) {
		err = fmt.Errorf("base of sequence %d does not begin with a header", through)
	}
	return g, err
}

// checkStoredBase refuses a store that does not begin where its journal says: at a base that a command names. It may have more than the last
// one says: that part is not dropped yet, or the ledger was imported with all of its parts.
func (t *tables) checkStoredBase(at journal.Base) error {
	if at.Seq == 0 {
		return nil
	}
	if _, p := t.partOf(at.Seq); p != nil && p.through == at.Seq && p.chain == at.Hash && p.time == at.Time {
		return nil
	}
	return fmt.Errorf("the history begins after sequence %d, where no command says that a part was exported", at.Seq)
}

// checkValidBase refuses a store whose base is not valid, or another one than a command names. The table itself is read by who needs it.
func (t *tables) checkValidBase(store storage) error {
	at := store.Base()
	if err := t.checkStoredBase(at); err != nil || at.Seq == 0 {
		return err
	}
	markers, err := baseMarkers(store)
	if err != nil {
		return err
	}
	_, p := t.partOf(at.Seq)
	if !slices.Contains(markers, baseMarker{at.Seq, p.table}) {
		return fmt.Errorf("base of sequence %d: its marker is gone, or is of another table than the command at %d names", at.Seq, p.seq)
	}
	return nil
}
