package engine

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"farthing/journal"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// Reads come in two kinds. Balances, counters and lists of accounts ride the ring: they
// see live state, and their answer waits until that is durable. Everything historical
// (events, statements, batches) is read from durable blocks and tables by the caller's
// goroutine.

// listMax bounds one page of a list.
const listMax = 1000

func unknownAccount(id string) *refusal.Refusal {
	return refusal.New(refusal.NotFound, "unknown_account", "there is no account %s", id)
}

func badCursor() *refusal.Refusal {
	return refusal.New(refusal.Invalid, "invalid_cursor", "cursor is not one this list gave out")
}

// seqCursor reads a cursor that is a number; empty is 0.
func seqCursor(cursor string) (uint64, *refusal.Refusal) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(cursor, 10, 63)
	if err != nil {
		return 0, badCursor()
	}
	return n, nil
}

// damaged answers a read that met damaged storage. The read is refused and nothing else:
// what is committed from here on does not depend on it. The damage is logged, and
// `farthing verify` tells how far it goes.
func (e *Engine) damaged(err error) *refusal.Refusal {
	if errors.Is(err, journal.ErrDropped) {
		return e.historyExported() // no damage: it was exported
	}
	e.o.Logger.Error("a read met damaged storage", "error", err)
	return refusal.New(refusal.Internal, "storage_damaged", "the stored data could not be read; the operator has to run farthing verify")
}

// damagedIf is damaged for an error, if it is one.
func (e *Engine) damagedIf(err error) *refusal.Refusal {
	if err == nil {
		return nil
	}
	return e.damaged(err)
}

// read counts a reader in, so that Close waits for it before the store goes. The returned
// function counts it out; nil when the engine is closed.
func (e *Engine) read() (done func(), refused *refusal.Refusal) {
	if !e.admission.enter() {
		return nil, draining()
	}
	return e.admission.inflight.Done, nil
}

func draining() *refusal.Refusal {
	return refusal.New(refusal.NotReady, "draining", "the server is stopping; retry elsewhere or later")
}

// Account shows one participant, or the operator.
func (e *Engine) Account(id string) (account Account, refused *refusal.Refusal) {
	unavailable := e.do(func(s *sequencer) bool {
		if id == ledger.OperatorID {
			account = s.operator()
			return false
		}
		ref, ok := s.state.findAccount([]byte(id))
		if !ok {
			refused = unknownAccount(id)
			return false
		}
		account = s.account(ref)
		return false
	})
	return account, firstOf(unavailable, refused)
}

// Accounts lists participants in the order of their creation; kind "" lists all. Which
// ones is found in the published tables; only the page itself visits the sequencer.
func (e *Engine) Accounts(kind, cursor string, limit int) (page Page[Account], refused *refusal.Refusal) {
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
	limit = min(limit, listMax)
	var refs []ledger.Ref
	people := e.published.Load().people
	for i := from; i < uint64(len(people)); i++ {
		p := people[i]
		if p.Kind == ledger.Operator || (kind != "" && kind != p.Kind.String()) {
			continue
		}
		if len(refs) == limit {
			page.Next = strconv.FormatUint(i, 10)
			break
		}
		refs = append(refs, ledger.Ref(i))
	}
	refused = e.do(func(s *sequencer) bool {
		for _, ref := range refs {
			page.Items = append(page.Items, s.account(ref))
		}
		return false
	})
	return page, refused
}

// TrialBalance shows the books of every currency in use.
func (e *Engine) TrialBalance() (out []TrialBalance, refused *refusal.Refusal) {
	refused = e.do(func(s *sequencer) bool {
		for _, i := range s.state.ledger.Currencies() {
			c := money.CurrencyAt(i)
			t := s.state.ledger.Totals(c)
			b := TrialBalance{Currency: c}
			b.Debits, b.Credits = t.Sum()
			for k := range ledger.NumClasses {
				if total := t.Class[k]; !total.Debits.IsZero() || !total.Credits.IsZero() {
					b.Classes = append(b.Classes, ClassTotal{k.String(), total.Debits, total.Credits})
				}
			}
			slices.SortFunc(b.Classes, func(x, y ClassTotal) int { return strings.Compare(x.Class, y.Class) })
			out = append(out, b)
		}
		return false
	})
	return out, refused
}

// usageVisit is how many usage rows one visit to the sequencer copies, some hundred
// microseconds' worth.
const usageVisit = 4096

// Usage lists an account's usage rows of the days from..to (to exclusive), by day, meter
// and dimensions, and the sequence they are as of. Zero times are open ends. An account
// with more than usageVisit rows is read in several visits: what is booked between them
// may show in a later part and not in an earlier one.
func (e *Engine) Usage(account string, from, to time.Time) ([]UsageRow, uint64, *refusal.Refusal) {
	r := usageReader{account: account, from: dayFrom(from, 0), to: dayFrom(to, 1<<31-1)}
	for !r.done {
		if unavailable := e.do(r.visit); unavailable != nil {
			return nil, 0, unavailable
		}
	}
	if r.refused != nil {
		return nil, 0, r.refused
	}
	rows := r.render(e.published.Load())
	slices.SortFunc(rows, compareUsage)
	return rows, r.seq, nil
}

// dayFrom is the first day that begins at a time or later; none when no time is given.
func dayFrom(t time.Time, none int32) int32 {
	if t.IsZero() {
		return none
	}
	return int32(max(0, (t.Unix()+secondsPerDay-1)/secondsPerDay))
}

const secondsPerDay = 24 * 60 * 60

// usageReader copies the usage rows of one account.
type usageReader struct {
	account  string
	from, to int32 // days
	started  bool
	next     uint32       // row + 1 where the next visit goes on
	parts    [][]usageRow // a first row and its further rows
	seq      uint64
	done     bool
	refused  *refusal.Refusal
}

// visit runs on the sequencer.
func (r *usageReader) visit(s *sequencer) bool {
	u := &s.state.usage
	if !r.started {
		ref, ok := s.state.findAccount([]byte(r.account))
		if !ok {
			r.refused, r.done = unknownAccount(r.account), true
			return false
		}
		r.started, r.seq = true, s.state.seq
		r.next = u.head(ref)
	}
	for range usageVisit {
		if r.next == 0 {
			r.done = true
			return false
		}
		n := r.next - 1
		first := u.rows.At(n)
		r.next = first.next
		if first.day < r.from || first.day >= r.to {
			continue
		}
		part := []usageRow{*first}
		components := len(s.state.shapes[first.shape].shape.Components)
		for c := usageComponents; c < components; c += usageComponents {
			part = append(part, *u.rows.At(n + uint32(len(part))))
		}
		r.parts = append(r.parts, part)
	}
	return false
}

// render turns the copied rows into what callers see.
func (r *usageReader) render(t *tables) []UsageRow {
	out := make([]UsageRow, 0, len(r.parts))
	for _, part := range r.parts {
		row := &part[0]
		shape := &t.shapes[row.shape].shape
		u := UsageRow{Day: time.Unix(int64(row.day)*secondsPerDay, 0).UTC(), Meter: shape.Type,
			Currency: t.people[row.account].Currency, Dimensions: shape.Dimensions, Events: row.events}
		for i, name := range shape.Components {
			sum := &part[i/usageComponents].sums[i%usageComponents]
			u.Components = append(u.Components, UsageComponent{Name: name, Quantity: quantityText(sum.quantity), Amount: sum.amount})
		}
		out = append(out, u)
	}
	return out
}

// quantityText writes a sum of millionths as a decimal: an amount is 10^-18, a millionth
// 10^12 of these; sums that large do not fit, so whole and rest are written apart.
func quantityText(sum money.Amount) string {
	whole, rest := sum.DivMod(1_000_000)
	text := whole.AppendInteger(nil)
	if rest != 0 {
		frac := strconv.Itoa(1_000_000 + int(rest))[1:]
		text = append(append(text, '.'), strings.TrimRight(frac, "0")...)
	}
	return string(text)
}

func compareUsage(a, b UsageRow) int {
	if c := a.Day.Compare(b.Day); c != 0 {
		return c
	}
	if c := strings.Compare(a.Meter, b.Meter); c != 0 {
		return c
	}
	c := slices.CompareFunc(a.Dimensions, b.Dimensions, func(x, y meter.Dimension) int {
		if c := strings.Compare(x.Key, y.Key); c != 0 {
			return c
		}
		return strings.Compare(x.Value, y.Value)
	})
	if c != 0 {
		return c
	}
	return slices.CompareFunc(a.Components, b.Components, func(x, y UsageComponent) int { return strings.Compare(x.Name, y.Name) })
}

// PriceVersions lists the versions in the order they were put.
func (e *Engine) PriceVersions(cursor string, limit int) (Page[PriceVersion], *refusal.Refusal) {
	var page Page[PriceVersion]
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
	versions := e.published.Load().versions // no storage is read: works until the end
	for i := from; i < uint64(len(versions)); i++ {
		if len(page.Items) == min(limit, listMax) {
			page.Next = strconv.FormatUint(i, 10)
			break
		}
		page.Items = append(page.Items, *versions[i])
	}
	return page, nil
}

// PriceVersion shows one version.
func (e *Engine) PriceVersion(id string) (PriceVersion, *refusal.Refusal) {
	for _, v := range e.published.Load().versions {
		if v.Version.ID == id {
			return *v, nil
		}
	}
	return PriceVersion{}, refusal.New(refusal.NotFound, "unknown_version", "there is no price version %s", id)
}

// findBatch finds a sealed, durable batch by its hex id.
func (e *Engine) findBatch(id string) (*window, *sealedBatch, *refusal.Refusal) {
	var key [32]byte
	if n, err := hex.Decode(key[:], []byte(id)); err == nil && n == len(key) && len(id) == 64 {
		// Newest first: what is asked for is usually recent.
		windows := e.published.Load().windows
		for i := len(windows) - 1; i >= 0; i-- {
			for k := range windows[i].batches {
				if windows[i].batches[k].id == key {
					return windows[i], &windows[i].batches[k], nil
				}
			}
		}
	}
	return nil, nil, refusal.New(refusal.NotFound, "unknown_batch", "there is no batch %s", id)
}

// Settlements lists the sealed batches in the order of their windows.
func (e *Engine) Settlements(cursor string, limit int) (page Page[Batch], refused *refusal.Refusal) {
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
	done, refused := e.read()
	if refused != nil {
		return page, refused
	}
	defer done()
	for _, w := range e.published.Load().windows {
		for i := range w.batches {
			b := &w.batches[i]
			if b.firstStream < from {
				continue
			}
			if len(page.Items) == min(limit, listMax) {
				page.Next = strconv.FormatUint(b.firstStream, 10)
				return page, nil
			}
			item, err := e.batch(b)
			if err != nil {
				return Page[Batch]{}, e.damaged(err)
			}
			page.Items = append(page.Items, item)
		}
	}
	return page, nil
}

// Settlement shows one batch.
func (e *Engine) Settlement(id string) (Batch, *refusal.Refusal) {
	_, b, refused := e.findBatch(id)
	if refused != nil {
		return Batch{}, refused
	}
	done, refused := e.read()
	if refused != nil {
		return Batch{}, refused
	}
	defer done()
	out, err := e.batch(b)
	if err != nil {
		return Batch{}, e.damaged(err)
	}
	return out, nil
}

func (e *Engine) batch(b *sealedBatch) (Batch, error) {
	manifest, ok, err := e.store.Get(journal.SpaceManifest, b.id[:])
	if err != nil || !ok {
		return Batch{}, missing("manifest of batch "+hexID(b.id), err)
	}
	out := Batch{BatchID: hexID(b.id), Manifest: manifest}
	out.KeyID, out.Signature = e.signatureOf(b)
	out.Published, err = e.publication(b)
	return out, err
}

// Lines lists a batch's canonical line records by number.
func (e *Engine) Lines(id, cursor string, limit int) (page Page[[]byte], refused *refusal.Refusal) {
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
	_, b, refused := e.findBatch(id)
	if refused != nil {
		return page, refused
	}
	if from > uint64(b.lines) {
		return page, nil
	}
	done, refused := e.read()
	if refused != nil {
		return page, refused
	}
	defer done()
	limit = min(limit, listMax)
	err := scanLines(e.store, b.id, b.lines, max(uint32(from), 1), func(n uint32, record []byte) bool {
		if len(page.Items) == limit {
			page.Next = strconv.FormatUint(uint64(n), 10)
			return false
		}
		page.Items = append(page.Items, append([]byte(nil), record...))
		return true
	})
	if err != nil {
		return Page[[]byte]{}, e.damaged(err)
	}
	return page, nil
}
