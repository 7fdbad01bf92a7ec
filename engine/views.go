package engine

import (
	"encoding/hex"
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

// Accounts lists participants in the order of their creation; kind "" lists all.
func (e *Engine) Accounts(kind, cursor string, limit int) (page Page[Account], refused *refusal.Refusal) {
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
	limit = min(limit, listMax)
	unavailable := e.do(func(s *sequencer) bool {
		page.Items = page.Items[:0]
		for i := from; i < uint64(len(s.state.people)); i++ {
			p := s.state.people[i]
			if p.Kind == ledger.Operator || (kind != "" && kind != p.Kind.String()) {
				continue
			}
			if len(page.Items) == limit {
				page.Next = strconv.FormatUint(i, 10)
				break
			}
			page.Items = append(page.Items, s.account(ledger.Ref(i)))
		}
		return false
	})
	return page, unavailable
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

// Usage lists an account's usage rows of the days from..to (to exclusive), by day, meter
// and dimensions, and the sequence they are as of. Zero times are open ends.
func (e *Engine) Usage(account string, from, to time.Time) (rows []UsageRow, seq uint64, refused *refusal.Refusal) {
	unavailable := e.do(func(s *sequencer) bool {
		rows = rows[:0]
		ref, ok := s.state.findAccount([]byte(account))
		if !ok {
			refused = unknownAccount(account)
			return false
		}
		seq = s.state.seq
		u := &s.state.usage
		if int(ref) >= len(u.hints) {
			return false
		}
		for n := u.hints[ref].head; n != 0; n = u.rows.At(n - 1).next {
			row := u.rows.At(n - 1)
			day := time.Unix(int64(row.day)*24*60*60, 0).UTC()
			if (!from.IsZero() && day.Before(from)) || (!to.IsZero() && !day.Before(to)) {
				continue
			}
			rows = append(rows, s.usageRow(n-1, day))
		}
		return false
	})
	slices.SortFunc(rows, compareUsage)
	return rows, seq, firstOf(unavailable, refused)
}

func (s *sequencer) usageRow(n uint32, day time.Time) UsageRow {
	u := &s.state.usage
	row := u.rows.At(n)
	shape := &s.state.shapes[row.shape].shape
	out := UsageRow{Day: day, Meter: shape.Type, Currency: s.state.people[row.account].Currency, Dimensions: shape.Dimensions, Events: row.events}
	for i, name := range shape.Components {
		part := u.rows.At(n + uint32(i/usageComponents))
		out.Components = append(out.Components, UsageComponent{Name: name,
			Quantity: quantityText(part.quantity[i%usageComponents]), Amount: part.amount[i%usageComponents]})
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
	versions := e.published.Load().versions
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
func (e *Engine) Settlements(cursor string, limit int) (Page[Batch], *refusal.Refusal) {
	var page Page[Batch]
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
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
			page.Items = append(page.Items, e.batch(b))
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
	return e.batch(b), nil
}

func (e *Engine) batch(b *sealedBatch) Batch {
	manifest, ok, err := e.store.Get(journal.SpaceManifest, b.id[:])
	if err != nil || !ok {
		e.fail(missing("manifest of batch "+hexID(b.id), err))
	}
	published, err := e.publication(b)
	if err != nil {
		e.fail(err)
	}
	return Batch{BatchID: hexID(b.id), Manifest: manifest, Published: published}
}

// Lines lists a batch's canonical line records by number.
func (e *Engine) Lines(id, cursor string, limit int) (Page[[]byte], *refusal.Refusal) {
	var page Page[[]byte]
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
	_, b, refused := e.findBatch(id)
	if refused != nil {
		return page, refused
	}
	limit = min(limit, listMax)
	err := scanLines(e.store, b.id, max(uint32(min(from, uint64(b.lines)+1)), 1), func(n uint32, record []byte) bool {
		if len(page.Items) == limit {
			page.Next = strconv.FormatUint(uint64(n), 10)
			return false
		}
		page.Items = append(page.Items, append([]byte(nil), record...))
		return true
	})
	if err != nil {
		e.fail(err)
	}
	return page, nil
}
