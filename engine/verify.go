package engine

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"

	"farthing/journal"
	"farthing/money"
)

// VerifyOptions says what to verify.
type VerifyOptions struct {
	Journal journal.Options
	// Progress is told how many sequences of how many are done; may be nil.
	Progress func(done, total uint64)
}

// VerifyReport is what was found to agree.
type VerifyReport struct {
	Ledger      string
	Base        uint64 // last sequence that was exported and dropped; 0: the history is there from its beginning
	BaseTime    int64  // of the group that ended there
	BaseHash    string // of its table, hex; empty without one
	Parts       uint64 // exported
	Head        string // hash of the last block, hex
	Sequences   uint64
	Blocks      uint64
	Events      uint64 // priced and unpriced
	Unpriced    uint64
	Accounts    uint64
	Windows     uint64 // sealed
	Batches     uint64
	Lines       uint64
	Checkpoints uint64 // compared
	Runs        uint64 // compared
	Tiles       uint64 // of evidence, compared
	Signatures  uint64 // of manifests, checked
	Files       uint64 // of tables, every block of which has its checksum
}

// Verify derives everything anew from the journal alone and compares it with what is
// stored: the hash chain of the groups, every rated amount, every balance of the newest
// checkpoint, every identity run, every closing transfer, manifest and line of every
// batch. The error names the first thing that differs. Nothing on disk is changed.
func Verify(o VerifyOptions) (VerifyReport, error) {
	store, err := journal.OpenReadOnly(o.Journal)
	if err != nil {
		return VerifyReport{}, explain(nil, err)
	}
	// The files first: what is damaged is then named by its file, also where nothing could be compared.
	var report VerifyReport
	files, err := store.CheckFiles()
	if err == nil {
		report, err = verifyStore(onDisk{store}, o.Progress)
		report.Files = files
	}
	return report, cmp.Or(explain(onDisk{store}, err), store.Close())
}

func verifyStore(store storage, progress func(done, total uint64)) (VerifyReport, error) {
	v := &verifier{store: store, progress: progress, trees: newEvidence(), earners: newScanEarners(),
		tiles: tileCheck{seen: map[uint64]uint64{}, missing: map[uint64]string{}}}
	return v.run()
}

// verifier is the state of one Verify.
type verifier struct {
	store    storage
	progress func(done, total uint64)
	report   VerifyReport
	replay   replayer
	trees    evidence
	earners  *earners
	tiles    tileCheck

	amended lastRead   // the commands that amendments amend
	records lineReader // of lines that results are of

	job      *settleJob // of the pending cut
	roots    map[money.Currency][32]byte
	batches  []netBatch             // of the pending cut, without the hashes of their lines
	closings map[money.Currency]int // lines closed

	runs *runCheck
	last checkpointMarker

	base  loadedBase // that the walk goes on from; of sequence 0: the genesis
	bases []baseMarker
	// halfway is the window that was open at the base; 0: there is no base.
	halfway uint64
}

func (v *verifier) run() (VerifyReport, error) {
	first, err := readGenesis(v.store)
	if err != nil {
		return v.report, err
	}
	head := v.store.Head()
	v.report.Ledger, v.report.Head, v.report.Sequences = first.ledgerID, hex.EncodeToString(head.Hash[:]), head.Seq
	if err := v.loadDerived(); err != nil {
		return v.report, err
	}
	if err := v.begin(); err != nil {
		return v.report, err
	}
	if err := v.walk(head.Seq); err != nil {
		return v.report, err
	}
	if v.replay.state.seq != head.Seq {
		return v.report, fmt.Errorf("the journal ends at sequence %d, its head says %d", v.replay.state.seq, head.Seq)
	}
	if err := cmp.Or(v.runs.ended(head.Seq), v.runs.noneTwice()); err != nil {
		return v.report, err
	}
	if v.last.id != 0 && v.report.Checkpoints == 0 {
		return v.report, fmt.Errorf("checkpoint %d is of sequence %d, at which no group ends", v.last.id, v.last.seq)
	}
	if err := cmp.Or(v.named(), v.publisher(), v.onlyTiles()); err != nil {
		return v.report, err
	}
	v.report.Tiles = v.tiles.total()
	st := v.replay.state
	v.report.Accounts = uint64(len(st.people) - len(st.ledger.Currencies()))
	v.report.Windows, v.report.Unpriced = uint64(len(st.windows)), uint64(st.unpriced.open)
	return v.report, nil
}

// loadDerived reads what the journal is compared with.
func (v *verifier) loadDerived() error {
	var err error
	if v.runs, err = newRunCheck(v); err != nil {
		return err
	}
	markers, err := checkpointMarkers(v.store)
	if err != nil {
		return err
	}
	if len(markers) > 0 {
		v.last = markers[len(markers)-1]
	}
	return nil
}

func (v *verifier) walk(head uint64) error {
	return v.store.Blocks(0, func(b *journal.Block) error {
		v.report.Blocks++
		if b.First > 1 {
			v.trees.block(b.Body)
			if err := v.replay.block(b); err != nil {
				return err
			}
			if b.Final {
				if err := balancedAt(v.replay.state.ledger, b.Last); err != nil {
					return err
				}
			}
		}
		if err := v.compareAt(b); err != nil {
			return err
		}
		if v.progress != nil {
			v.progress(b.Last, head)
		}
		return nil
	})
}

// publisher checks how far the two streams are published against what there is to publish.
func (v *verifier) publisher() error {
	e := &Engine{store: v.store}
	if err := e.settlementProgress().check(v.replay.state.nextStream - 1); err != nil {
		return err
	}
	if err := e.noticeProgress().check(v.replay.state.nextNotice - 1); err != nil {
		return fmt.Errorf("notifications: %w", err)
	}
	return nil
}

// after grows the trees, gathers statement entries and nets every window at its cut.
func (v *verifier) after(c *cursor) error {
	v.post(c)
	if err := cmp.Or(v.derive(c), v.runs.command(c)); err != nil {
		return err
	}
	return v.compareTiles(c)
}

func (v *verifier) derive(c *cursor) error {
	switch {
	case c.isEvent():
		v.report.Events++
		v.trees.command(c, nil)
	case c.kind == kindAmend:
		return v.amendment(c)
	case c.kind == kindResult:
		return v.result(c)
	case c.kind == kindBase:
		return v.part(c)
	case c.kind == kindCut:
		st := v.replay.state
		st.completeSnapshot()
		v.job = st.newSettleJob()
		trees := v.trees.cut()
		v.roots = trees.roots
		err := trees.check(v.job.totals)
		if err != nil {
			return fmt.Errorf("window %d: %w", v.job.window.number, err)
		}
		if v.batches, err = v.job.net(v.roots, nil); err != nil {
			return fmt.Errorf("window %d: %w", v.job.window.number, err)
		}
		v.closings = map[money.Currency]int{}
	}
	return nil
}

// post gathers the statement entries of the run under way.
func (v *verifier) post(c *cursor) {
	if !v.runs.posting(c.seq) {
		return
	}
	if c.kind == kindAmend {
		return // see amendment
	}
	if !c.isEvent() {
		v.runs.posts.postCommand(c.kind, &reader{p: c.payload}, c.seq, c.t, v.earners)
	} else if c.event.reason == priced {
		v.runs.posts.postEvent(c.seq, &c.event, c.t, v.earners)
	}
}

// compareAt compares runs and the newest checkpoint that end with a block.
func (v *verifier) compareAt(b *journal.Block) error {
	if err := v.runs.compareTo(b.Last); err != nil {
		return err
	}
	if err := v.compareBase(b.Last); err != nil {
		return err
	}
	return v.compareCheckpoint(b.Last, b.Hash)
}

// compareCheckpoint compares the newest checkpoint if it is of a sequence.
func (v *verifier) compareCheckpoint(seq uint64, hash journal.Hash) error {
	if v.last.seq != seq || v.last.id == 0 {
		return nil
	}
	if v.last.hash != hash {
		return fmt.Errorf("checkpoint %d names another hash at sequence %d than the chain", v.last.id, v.last.seq)
	}
	loaded, err := restore(v.store, func() error { return nil })
	if err != nil {
		return err
	}
	if err := diff(v.replay.state, loaded.state); err != nil {
		return fmt.Errorf("checkpoint %d of sequence %d: %w", v.last.id, v.last.seq, err)
	}
	if !v.trees.equal(&loaded.evidence) {
		return fmt.Errorf("checkpoint %d of sequence %d: evidence trees differ", v.last.id, v.last.seq)
	}
	v.report.Checkpoints++
	return nil
}

// diff names the first thing in which a stored state differs from the derived one.
func diff(want, got *state) error {
	if len(want.people) != len(got.people) {
		return fmt.Errorf("%d participants, the journal makes %d", len(got.people), len(want.people))
	}
	for i := range want.people {
		if *want.people[i] != *got.people[i] {
			return fmt.Errorf("participant %s differs", want.people[i].ID)
		}
		a, b := want.ledger.Rows.At(uint32(i)), got.ledger.Rows.At(uint32(i))
		if *a != *b {
			return fmt.Errorf("account %s: the checkpoint has posted %s, the journal makes %s (row %+v, %+v)", want.people[i].ID,
				b.Posted(want.people[i].Kind), a.Posted(want.people[i].Kind), *b, *a)
		}
	}
	for i := range want.usage.rows.Len() {
		if i >= got.usage.rows.Len() {
			return fmt.Errorf("%d usage rows, the journal makes %d", got.usage.rows.Len(), want.usage.rows.Len())
		}
		a, b := *want.usage.rows.At(i), *got.usage.rows.At(i)
		if a.next, b.next = 0, 0; a != b {
			return fmt.Errorf("usage of account %s on day %d differs", want.people[a.account].ID, a.day)
		}
	}
	if err := cmp.Or(diffRows(want, got), diffHolds(want, got), diffTables(want, got)); err != nil {
		return err
	}
	if !bytes.Equal(want.appendTotals(nil), got.appendTotals(nil)) {
		return fmt.Errorf("totals, windows or stream position differ")
	}
	return nil
}

// diffRows compares the tables row by row, but for those whose rows are used again: where such a
// row stands depends on restarts.
func diffRows(want, got *state) error {
	a, b := want.rowTables(), got.rowTables()
	for k := range a {
		if a[k].kind == chunkHolds || a[k].kind == chunkParts {
			continue
		}
		if a[k].len() != b[k].len() {
			return fmt.Errorf("%d rows of table %s, the journal makes %d", b[k].len(), a[k].name, a[k].len())
		}
		for i := range a[k].len() {
			if x, y := a[k].encode(i), b[k].encode(i); !bytes.Equal(x, y) {
				return fmt.Errorf("%s %d differs: %x, the journal makes %x", a[k].name, i, y, x)
			}
		}
	}
	return nil
}

// diffHolds compares the open holds, whatever rows they are in.
func diffHolds(want, got *state) error {
	if want.holds.open != got.holds.open {
		return fmt.Errorf("%d open holds, the journal makes %d", got.holds.open, want.holds.open)
	}
	for n := range want.holds.rows.Len() {
		a := *want.holds.rows.At(n)
		if a.seq == 0 {
			continue
		}
		k, ok := got.holds.find(a.id)
		if !ok {
			return fmt.Errorf("the hold of sequence %d is not open", a.seq)
		}
		b := *got.holds.rows.At(k)
		same := slices.Equal(want.holds.reserved(&a, nil).Parts, got.holds.reserved(&b, nil).Parts)
		if a.parts, b.parts = 0, 0; a != b || !same {
			return fmt.Errorf("the hold of sequence %d differs: %+v, the journal makes %+v", a.seq, b, a)
		}
	}
	return nil
}

// diffTables compares what else is stored, in its stored form.
func diffTables(want, got *state) error {
	encode := func(s *state) map[byte][]byte {
		out := map[byte][]byte{}
		job := checkpointJob{to: s.extent(), tables: s.tables, logs: s.logs()}
		job.appendTables(func(chunk []byte) { out[chunk[0]] = append(out[chunk[0]], chunk...) })
		return out
	}
	a, b := encode(want), encode(got)
	for _, kind := range []byte{chunkSources, chunkShapes, chunkVersions, chunkTopUps, chunkWindows, chunkVoids, chunkGrantInfo, chunkScopes,
		chunkLimitInfo, chunkPlanInfo, chunkNotices, chunkBooked, chunkAsks, chunkLimitDocs, chunkSettings, chunkKeys, chunkDropped, chunkBack} {
		if !bytes.Equal(a[kind], b[kind]) {
			return fmt.Errorf("table %q differs", kind)
		}
	}
	return nil
}
