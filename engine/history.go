package engine

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"farthing/journal"
	"farthing/ledger"
	"farthing/refusal"
)

// blockReader reads durable commands for one caller. It keeps the block it read last:
// what is asked for one after the other often lies side by side.
type blockReader struct {
	e     *Engine
	block *journal.Block
	cur   cursor
	gone  uint64 // a sequence that may be of an identity that was asked for, and was dropped
}

// at returns the cursor at a durable sequence; it is valid until the next call.
func (b *blockReader) at(seq uint64) (*cursor, error) {
	if b.block == nil || seq < b.block.First || seq > b.block.Last {
		block, err := b.e.store.BlockAt(seq)
		if err != nil {
			return nil, err
		}
		b.block = block
		b.cur.seq = 0
	}
	if b.cur.seq == seq {
		return &b.cur, nil
	}
	if b.cur.seq == 0 || seq < b.cur.seq {
		b.cur.reset(b.block.Body, b.block.First, b.block.Time, b.e.published.Load())
	}
	return &b.cur, b.cur.skipTo(seq)
}

// skipTo goes on to the command with the given sequence.
func (c *cursor) skipTo(seq uint64) error {
	for c.next() {
		if c.seq == seq {
			return nil
		}
	}
	if err := c.err(); err != nil {
		return err
	}
	return fmt.Errorf("sequence %d is not in its block", seq)
}

// Transfers lists an account's statement, oldest first, up to what is durable now. The
// cursor is the sequence and the position in it of the last transfer shown.
func (e *Engine) Transfers(account, cursor string, limit int) (page Page[Transfer], refused *refusal.Refusal) {
	seq, skip, refused := transferCursor(cursor)
	if refused != nil {
		return page, refused
	}
	if dropped := e.marks.dropped.load(); seq < dropped {
		if cursor != "" {
			return page, e.exported("history_exported", seq+1)
		}
		seq = dropped // the list begins with what is stored
	}
	refs, refused := e.refsOf(account)
	if refused != nil {
		return page, refused
	}
	done, refused := e.read()
	if refused != nil {
		return page, refused
	}
	defer done()
	limit = min(limit, listMax)
	e.await(&e.marks.evidenced, e.store.Head().Seq)
	view := statementView{account: account, earners: newEarners(), blocks: blockReader{e: e}}
	for {
		seqs, err := e.statementOf(refs, seq, skip, limit+1)
		if err != nil {
			e.fail(err)
		}
		for _, at := range seqs {
			items, err := view.transfers(at)
			if errors.Is(err, journal.ErrDropped) {
				return page, e.historyExported() // just now
			}
			if err != nil {
				e.fail(err)
			}
			for i, item := range items {
				if at == seq && i < skip {
					continue
				}
				if len(page.Items) == limit {
					page.Next = view.next
					return page, nil
				}
				page.Items = append(page.Items, item)
				view.next = fmt.Sprintf("%d.%d", at, i+1)
			}
		}
		if len(seqs) <= limit {
			return page, nil // that was all
		}
		// The first was shown before, or some moved nothing (a fee of 0): only the next
		// sequences tell whether there is another page.
		seq, skip = seqs[len(seqs)-1], 0
	}
}

// transferCursor reads "sequence.position".
func transferCursor(cursor string) (seq uint64, skip int, refused *refusal.Refusal) {
	if cursor == "" {
		return 0, 0, nil
	}
	a, b, ok := strings.Cut(cursor, ".")
	seq, err := strconv.ParseUint(a, 10, 63)
	skip, err2 := strconv.Atoi(b)
	if !ok || err != nil || err2 != nil || skip < 0 {
		return 0, 0, badCursor()
	}
	return seq, skip, nil
}

// refsOf returns the participant with an id, or the operator's of every currency.
func (e *Engine) refsOf(account string) (refs []ledger.Ref, refused *refusal.Refusal) {
	if account == ledger.OperatorID {
		for i, p := range e.published.Load().people {
			if p.Kind == ledger.Operator {
				refs = append(refs, ledger.Ref(i))
			}
		}
		return refs, nil
	}
	unavailable := e.do(func(s *sequencer) bool {
		ref, ok := s.state.findAccount([]byte(account))
		if !ok {
			refused = unknownAccount(account)
		}
		refs = append(refs[:0], ref)
		return false
	})
	return refs, firstOf(unavailable, refused)
}

// statementOf merges the statements of several participants (the operator's). With skip,
// seq itself is included: a part of it was shown.
func (e *Engine) statementOf(refs []ledger.Ref, seq uint64, skip, limit int) ([]uint64, error) {
	after := seq
	if skip > 0 {
		after--
	}
	var all []uint64
	for _, ref := range refs {
		seqs, err := e.statement(ref, after, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, seqs...)
	}
	if len(refs) > 1 {
		sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	}
	return all[:min(len(all), limit)], nil
}

// statementView renders commands as one account's transfers.
type statementView struct {
	account string
	next    string
	earners *earners
	blocks  blockReader
}

// transfers returns what the command at seq moved on the account.
func (v *statementView) transfers(seq uint64) ([]Transfer, error) {
	c, err := v.blocks.at(seq)
	if err != nil {
		return nil, err
	}
	var out []Transfer
	for _, t := range v.legs(c) {
		item := Transfer{Sequence: seq, Time: timeOf(c.time), Amount: t.Amount, Reason: t.Reason, Grant: t.Grant}
		switch {
		case t.Debit == t.Credit:
			continue
		case t.Debit == v.account:
			item.Account, item.Class, item.Amount = t.Credit, t.CreditClass, t.Amount.Neg()
		case t.Credit == v.account:
			item.Account, item.Class = t.Debit, t.DebitClass
		default:
			continue
		}
		item.name(c, t)
		out = append(out, item)
	}
	return out, nil
}

// name says which event, top-up or batch the transfer belongs to; of a correction the event
// that it corrects.
func (item *Transfer) name(c *cursor, t EventTransfer) {
	if c.isEvent() {
		item.Source, item.Event = string(c.event.source), string(c.event.id)
		return
	}
	item.ID, item.Batch, item.Source, item.Event = t.id, t.batch, t.source, t.event
}

// legs returns the transfers of the current command. What repays a customer goes to its
// receivable first and to its paid credit then; it is shown as one, without that class.
func (v *statementView) legs(c *cursor) []EventTransfer {
	t := c.t
	if c.isEvent() {
		return eventLegs(&c.event, t, v.earners)
	}
	r := reader{p: c.payload}
	switch c.kind {
	case kindTopUp:
		u := r.topUp()
		return []EventTransfer{{Debit: ledger.OperatorID, DebitClass: ledger.Cash.String(), Credit: t.people[u.account].ID,
			Amount: u.amount, Reason: "topup", id: u.id}}
	case kindClosing:
		return closingLegs(r.closing(), t)
	case kindAmend:
		var a amendment
		r.amendment(&a, t)
		return amendmentLegs(&a, t, v.earners)
	case kindCapture:
		return transferLegs(r.amountCapture(t).transfers(t), t)
	}
	if b := parseBooking(c.kind, &r); b != nil {
		return transferLegs(b.transfers(t), t)
	}
	return nil
}

// closingLegs are the closing transfers of a slice.
func closingLegs(c *closingSlice, t *tables) []EventTransfer {
	var out []EventTransfer
	id := ""
	if c.window <= uint64(len(t.windows)) {
		for i := range t.windows[c.window-1].batches {
			if b := &t.windows[c.window-1].batches[i]; b.currency == c.currency {
				id = hexID(b.id)
			}
		}
	}
	for i := range c.lines {
		l := &c.lines[i]
		person := t.people[l.account].ID
		switch {
		case l.signed.Sign() < 0:
			out = append(out, EventTransfer{Debit: ledger.OperatorID, DebitClass: ledger.InTransit.String(), Credit: person,
				Amount: l.signed.Neg(), Reason: "collection", batch: id})
		case l.signed.Sign() > 0:
			out = append(out, EventTransfer{Debit: person, DebitClass: ledger.Payable.String(), Credit: ledger.OperatorID,
				CreditClass: ledger.InTransit.String(), Amount: l.signed, Reason: "payout", batch: id})
		}
	}
	return out
}

// eventLegs are the transfers of a priced event's first rating.
func eventLegs(e *eventRecord, t *tables, x *earners) []EventTransfer {
	if e.reason != priced {
		return nil
	}
	return ratingLegs(e, t, x, "usage", "fee")
}

// locate finds a durable identity: in the runs, else among the young, else among what is forgotten.
func (e *Engine) locate(identity []byte, blocks *blockReader) (at seen, found bool, refused *refusal.Refusal) {
	hash := xxh3.HashSeed(identity, e.seed)
	for {
		var p prober
		set, err := e.runs.look(func(set *runSet) (err error) {
			p = prober{e: e, set: set, blocks: blocks}
			at, found, err = p.find(hash, identity)
			return err
		})
		if err != nil || found {
			return at, found && err == nil, e.damagedIf(err)
		}
		moved := false
		refused := e.do(func(s *sequencer) bool {
			if moved = s.stale(set.version, set.forgotten); !moved {
				at, found = s.ids.find(hash, identity, set.version)
			}
			return false
		})
		if refused != nil || found {
			return at, found, refused
		}
		if moved {
			continue
		}
		if at, found, err = p.findForgotten(hash, identity); e.runs.load().dropped == set.dropped {
			return at, found && err == nil, e.damagedIf(err)
		}
	}
}
