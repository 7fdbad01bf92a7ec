package engine

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"farthing/journal"
	"farthing/refusal"
)

// Engine is a running ledger. Its methods may be called from any goroutine.
//
// Goroutines, in the order a group meets them: sequencer, committer, indexer, run builder;
// beside them the checkpoint writer, the settler and the repricer. Open starts all seven,
// Close ends the repricer first, then the others in that order, and waits for each. Two more
// watch the disk (health.go) until the store is closed.
type Engine struct {
	o         Options
	store     storage
	ledgerID  string
	partition uint32
	seed      uint64
	started   startClock // immutable once open
	born      int64      // time of the genesis
	startWall int64
	startMono time.Time

	health    *health
	admission *admission
	ring      *ring
	marks     watermarks
	runs      runIndex
	tidy      *tidier
	lane      *slowLane
	mayForget atomic.Uint64 // journaled as forgotten up to this sequence; the tidier's
	merges    atomic.Uint64 // of identity runs, done

	statementMerges atomic.Uint64
	young           youngPostings
	published       atomic.Pointer[tables] // as of the last durable group
	roots           rootTable

	free         chan *group         // committed and indexed groups, to be filled again
	toCommit     chan *group         // sequencer → committer
	toIndex      chan *group         // committer → indexer
	idle         chan struct{}       // a token: the committer can take a group
	toCheckpoint chan *checkpointJob // sequencer → checkpoint writer
	toSettle     chan *settleJob     // sequencer → settler
	toBuild      chan runJob         // indexer → run builder
	writerFree   atomic.Bool         // the checkpoint writer can take a job
	writerIdle   chan struct{}       // a token: it became free
	dropBelow    atomic.Uint64       // generations below have become runs

	repricePoke chan struct{}      // a token: the repricer has something to do
	repriceIdle chan chan struct{} // closed by the repricer once it has done all it was told before
	repriceStop chan struct{}      // closed: the repricer ends
	abandonStop chan struct{}      // closed: the abandoner ends
	abandonPoke chan struct{}      // a token: holds are due that are to be captured as reported
	abandonDone chan struct{}
	noticed     broadcast // of notifications
	retained    retention
	baseTrees   baseTrees
	retainStop  chan struct{} // closed: history is not dropped any more
	retainDone  chan struct{}
	rehearsals  atomic.Int64 // simulations under way
	unpriced    atomic.Int64 // events on the unpriced list, as of the last group handed on

	sealedChanged broadcast
	signAs        atomic.Uint64 // number of the key that signs manifests; 0: none, or not journaled yet
	confirmed     atomic.Uint64 // last stream_seq whose confirmation is durable; the relay's goroutine

	stop           chan struct{} // closed: the sequencer finishes and ends
	sequencerDone  chan struct{}
	buildDone      chan struct{}
	repriceDone    chan struct{}
	checkpointDone chan struct{}
	settleDone     chan struct{}
	closing        sync.Once
	closed         error
}

// Open opens the ledger of a directory, creating it if the directory is empty, brings
// its state up to the last durable group and starts taking requests.
func Open(o Options) (*Engine, error) {
	o.ensureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	began := time.Now()
	h := newHealth(&o)
	store, err := openStore(&o)
	if err != nil {
		return nil, explain(nil, err)
	}
	e := newEngine(o, store, h)
	e.started.began = began
	if d, ok := store.(onDisk); ok {
		e.started.opened(d.OpenTimes())
	}
	s, x, err := e.recover()
	if err != nil {
		return nil, fmt.Errorf("replay: %w", closeAfter(store, explain(store, err)))
	}
	if err := s.state.checkKey(o.SigningKey, o.NewSigningKey); err != nil {
		return nil, closeAfter(store, err)
	}
	e.started.log(o.Logger)
	e.start(s, x)
	if o.SigningKey != nil {
		e.internal(func(s *sequencer) { s.introduceKey() })
	}
	return e, nil
}

func closeAfter(store storage, err error) error {
	if closing := store.Close(); closing != nil {
		return fmt.Errorf("%w (and closing the store: %w)", err, closing)
	}
	return err
}

// openStore opens the store or creates it with a genesis command.
func openStore(o *Options) (storage, error) {
	if o.world.open != nil {
		return o.world.open(o.birth)
	}
	there, err := journal.Exists(o.Journal)
	if err != nil {
		return nil, err
	}
	if there {
		return opened(journal.Open(o.Journal))
	}
	g, err := o.birth()
	if err != nil {
		return nil, err
	}
	return opened(journal.Create(o.Journal, g))
}

func opened(store *journal.Store, err error) (storage, error) {
	if err != nil {
		return nil, err
	}
	return onDisk{store}, nil
}

// birth is the group that a ledger begins with.
func (o *Options) birth() (journal.Group, error) {
	g, err := newGenesis(o)
	if err != nil {
		return journal.Group{}, err
	}
	body := appendBytes([]byte{kindGenesis}, g.append(nil))
	return journal.Group{Time: o.Clock().UnixNano(), Blocks: []journal.BlockInput{{First: 1, Last: 1, Body: body}}}, nil
}

// newGenesis draws the seed, and the id if none was given: the only randomness of a
// ledger, journaled as its first command.
func newGenesis(o *Options) (genesis, error) {
	var random [24]byte
	if _, err := io.ReadFull(o.randomness(), random[:]); err != nil {
		return genesis{}, err
	}
	g := genesis{version: formatVersion, ledgerID: o.LedgerID, partition: o.Partition, seed: binary.LittleEndian.Uint64(random[:])}
	if g.ledgerID == "" {
		g.ledgerID = hex.EncodeToString(random[8:])
	}
	return g, nil
}

func newEngine(o Options, store storage, h *health) *Engine {
	e := &Engine{
		o: o, store: store, startWall: o.Clock().UnixNano(), startMono: time.Now(),
		health: h, admission: newAdmission(&o, h), ring: newRing(int(o.RequestsMax) + internalMax),
		free: make(chan *group, groupsMax), toCommit: make(chan *group, 1), toIndex: make(chan *group, groupsMax),
		idle: make(chan struct{}, 1), writerIdle: make(chan struct{}, 1), toCheckpoint: make(chan *checkpointJob, 1), toSettle: make(chan *settleJob, 1),
		stop: make(chan struct{}), sequencerDone: make(chan struct{}), buildDone: make(chan struct{}), toBuild: make(chan runJob, o.handover()),
		checkpointDone: make(chan struct{}), settleDone: make(chan struct{}), repriceDone: make(chan struct{}),
		abandonPoke: make(chan struct{}, 1), abandonStop: make(chan struct{}), abandonDone: make(chan struct{}), repricePoke: make(chan struct{}, 1), repriceIdle: make(chan chan struct{}), repriceStop: make(chan struct{}),
	}
	e.runs.store, e.runs.perRun, e.runs.budget, e.runs.evicted = store, o.RunIdentities, o.DedupMemoryBytes, e.filtersEvicted
	e.lane, e.tidy = newSlowLane(), newTidier(e)
	e.retained.poke, e.retainStop, e.retainDone = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	e.marks.init()
	e.writerFree.Store(true)
	e.sealedChanged.init()
	e.noticed.init()
	return e
}

// internalMax is how many requests of the engine's own may be on the ring beside the
// admitted ones: the settler's, one of the repricer, the abandoner, the tidier, retention and Open each, one of each simulation.
const internalMax = closingsAhead + 5 + rehearsalsMax

// recover loads the newest checkpoint, replays what follows and returns the sequencer and
// the indexer ready to run.
func (e *Engine) recover() (*sequencer, *indexer, error) {
	began := time.Now()
	if err := dropOrphans(e.store); err != nil {
		return nil, nil, err
	}
	e.started.part(partOrphans, began)
	began = time.Now()
	if err := e.runs.loadRuns(e.o.loaders()); err != nil {
		return nil, nil, err
	}
	set := e.runs.load()
	e.started.part(partFilters, began)
	began = time.Now()
	loaded, err := restore(e.store, e.o.aborted)
	if err != nil {
		return nil, nil, err
	}
	e.started.part(partCheckpoint, began)
	first, err := readGenesis(e.store)
	if err != nil {
		return nil, nil, err
	}
	e.ledgerID, e.partition, e.seed, e.born = first.ledgerID, first.partition, first.seed, first.time
	if p, err := e.Outbox().Position(); err != nil {
		return nil, nil, err
	} else {
		e.confirmed.Store(p.Confirmed)
	}
	e.roots.trees = map[uint64]windowTrees{}
	s := &sequencer{e: e, state: loaded.state, g: &group{}, ids: newIdentities(set.version, set.indexedTo()+1, e.o.RunIdentities)}
	s.checkpoints = checkpoints{base: loaded.base, nextID: loaded.marker.id + 1, lastSeq: loaded.marker.seq, deltas: loaded.marker.deltas, deltaRows: loaded.deltaRows}
	x := &indexer{e: e, earners: newScanEarners(), trees: loaded.evidence, young: &postings{}}
	e.dropBelow.Store(set.version)
	began = time.Now()
	from := min(loaded.marker.seq, set.indexedTo())
	if err := e.replay(s, x, from+1); err != nil {
		return nil, nil, err
	}
	e.started.part(partReplay, began)
	set = e.runs.load() // a replay without runs has written some
	e.dropBelow.Store(set.version)
	e.mayForget.Store(s.state.forgotten)
	if err := s.state.checkValidBase(e.store); err != nil {
		return nil, nil, err
	}
	head := e.store.Head().Seq
	e.started.out.Replayed, e.started.out.Reread = head-loaded.marker.seq, head-from
	e.marks.durable.advance(head)
	e.marks.evidenced.advance(head)
	e.marks.indexed.advance(set.indexedTo())
	e.marks.checkpointed.advance(loaded.marker.seq)
	if n := len(s.state.windows); n > 0 {
		e.marks.sealed.advance(s.state.windows[n-1].sealed)
	}
	e.marks.drop(e.store.Base().Seq)
	e.young.add(x.young)
	t := s.state.tables
	e.published.Store(&t)
	e.unpriced.Store(int64(s.state.unpriced.open))
	return s, x, nil
}

// dropOrphans removes tables whose marker never came: a crash between ingest and marker
// leaves one, and its number will be used again.
func dropOrphans(store storage) error {
	valid, err := markedTables(store)
	if err != nil {
		return err
	}
	for k, numbers := range valid {
		ids, err := store.Tables(k)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if numbers[id] {
				continue
			}
			if err := store.DropTable(k, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// markedTables are the tables that a marker makes valid, by kind.
func markedTables(store storage) (map[journal.Kind]map[uint64]bool, error) {
	valid := map[journal.Kind]map[uint64]bool{}
	for _, k := range []journal.Kind{journal.KindCheckpoint, journal.KindBase, journal.KindIdentity, journal.KindIdentityFilter, journal.KindKept, journal.KindStatement} {
		valid[k] = map[uint64]bool{}
	}
	valid[journal.KindBase][store.Base().Seq] = true // what the history goes on from is no orphan: if its marker is gone, the start says so
	err := store.Scan(journal.SpaceMarker, nil, nil, func(key, value []byte) (bool, error) {
		number := binary.BigEndian.Uint64(key[1:])
		switch key[0] {
		case 'c':
			valid[journal.KindCheckpoint][number] = true
		case 's':
			valid[journal.KindStatement][number] = true
		case 'k':
			valid[journal.KindKept][number], valid[journal.KindIdentityFilter][number] = true, true
		case 'b':
			valid[journal.KindBase][number] = true
		case 'r':
			run, err := parseRun(key, value)
			if err != nil {
				return false, err
			}
			valid[journal.KindIdentity][number], valid[journal.KindIdentityFilter][number] = true, !run.archived
		}
		return true, nil
	})
	return valid, err
}

// replay reads the journal from a sequence on: the state takes what it has not seen, the
// identities and the statement index what no run covers, the trees what is newer than
// the checkpoint.
func (e *Engine) replay(s *sequencer, x *indexer, from uint64) error {
	h := newBehind(s, x, e.runs.load().indexedTo(), s.state.seq)
	p := replayer{state: s.state, after: func(*cursor) error { return nil }}
	err := e.store.Blocks(from, func(b *journal.Block) error {
		if err := e.o.aborted(); err != nil {
			return err
		}
		if b.First == 1 {
			return nil // genesis
		}
		if err := p.block(b); err != nil {
			return err
		}
		if err := h.take(b, &s.state.tables); err != nil {
			return err
		}
		if b.Final {
			return balancedAt(s.state.ledger, b.Last)
		}
		return nil
	})
	if late := h.finish(); err == nil {
		err = late
	}
	if err != nil {
		return err
	}
	if s.state.seq != e.store.Head().Seq {
		return fmt.Errorf("the journal ends at %d, the state at %d", e.store.Head().Seq, s.state.seq)
	}
	return nil
}

// replayed is the indexer's part in replay: trees and statement entries.
func (x *indexer) replayed(c *cursor, newer, unindexed bool) {
	if c.kind == kindSeal && newer {
		r := reader{p: c.payload}
		x.e.roots.take(r.seal().window)
	}
	x.command(c, newer, unindexed)
}

// start starts the goroutines.
func (e *Engine) start(s *sequencer, x *indexer) {
	for range groupsMax - 1 {
		e.free <- &group{}
	}
	if e.o.world.stages == nil {
		s.ticker = time.NewTicker(tickEvery)
		s.tick = s.ticker.C
	}
	s.state.holds.start(s.state.time)
	s.state.startAgenda()
	s.startWatching()
	e.spawn("sequencer", func() {
		defer close(e.sequencerDone)
		s.run()
	})
	e.spawn("committer", e.commitLoop)
	e.spawn("indexer", x.loop)
	e.spawn("builder", e.buildLoop)
	e.spawn("checkpoints", e.checkpointLoop)
	e.spawn("settler", e.settleLoop)
	e.spawn("repricer", e.repriceLoop)
	e.spawn("tidier", e.tidy.loop)
	e.spawn("abandoner", e.abandonLoop)
	e.health.start(e)
	e.startRetention()
	e.pokeRepricer() // what a crash left undone
	e.tidy.wake()
}

// tickEvery is how often an idle sequencer looks at the clock: what is due, and a window that
// closes on time, waits at most this much.
const tickEvery = 100 * time.Millisecond

func (e *Engine) stopping() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// Close refuses new requests, answers all that were admitted, takes a last checkpoint and
// closes the store. Everything answered is durable; a window between cut and seal resumes
// at the next start only if its settlement was not under way.
func (e *Engine) Close() error {
	e.closing.Do(func() { e.closed = e.close() })
	return e.closed
}

func (e *Engine) close() error {
	e.admission.close()
	e.lane.close()
	e.admission.wait()
	close(e.repriceStop)
	close(e.tidy.stop)
	close(e.abandonStop)
	close(e.retainStop)
	receive(e, e.repriceDone)
	receive(e, e.tidy.done)
	receive(e, e.abandonDone)
	receive(e, e.retainDone)
	close(e.stop)
	receive(e, e.sequencerDone) // closes toCommit, which ends the committer, the indexer, the run builder
	receive(e, e.buildDone)
	close(e.toCheckpoint)
	receive(e, e.checkpointDone)
	close(e.toSettle)
	receive(e, e.settleDone)
	return e.health.end(e.store.Close)
}

// fail stops the process, from any of the engine's own goroutines: the store is in doubt and no answer could be true any more.
func (e *Engine) fail(err error) {
	e.o.Journal.Fatal(err)
	select {}
}

// internal runs op on the sequencer for the engine itself, outside of the budget, and
// returns when it is durable.
func (e *Engine) internal(op func(*sequencer)) { receive(e, e.begin(op).done) }

// begin is internal without the wait for done.
func (e *Engine) begin(op func(*sequencer)) *Request {
	r := &Request{done: make(chan struct{}, 1), op: func(s *sequencer) bool {
		op(s)
		return false
	}}
	e.queue(r)
	return r
}

// LedgerID is the ledger's id, fixed at its birth.
func (e *Engine) LedgerID() string { return e.ledgerID }

// Partition is the ledger's partition.
func (e *Engine) Partition() uint32 { return e.partition }

// Ready reports whether changes are accepted.
func (e *Engine) Ready() bool { return e.Unready() == nil }

// Unready says why no changes are accepted now; nil: they are.
func (e *Engine) Unready() *refusal.Refusal {
	if e.admission.closed.Load() {
		return draining()
	}
	return e.health.unready()
}

// broadcast tells any number of waiters that something changed.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *broadcast) init() { b.ch = make(chan struct{}) }

// changed returns a channel that the next notify closes.
func (b *broadcast) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ch
}

func (b *broadcast) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ch)
	b.ch = make(chan struct{})
}

func timeOf(ns int64) time.Time { return time.Unix(0, ns).UTC() }

func hexID(id [32]byte) string { return hex.EncodeToString(id[:]) }
