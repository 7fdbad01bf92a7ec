package engine

import (
	"encoding/binary"
	"fmt"

	"farthing/batch"
	"farthing/ledger"
	"farthing/money"
)

// Netting goes over the rows of a cut once per currency, in the order of their accounts. A line is
// hashed, staged and closed as it comes and then forgotten. The settler and verify share all of
// it but where the staged rows go.

// settleJob is what the settler needs of the state; all of it is immutable or its own.
type settleJob struct {
	window     *window
	totals     []ledger.Totals // at the cut, by currency index
	returned   ledger.Returned
	rows       cutRows
	tables     tables
	genesis    genesis
	nextStream uint64
	lastHash   map[money.Currency][32]byte
	closed     map[money.Currency]uint32 // lines closed before a crash
}

// newSettleJob takes the rows of the pending cut, all of which were collected.
func (s *state) newSettleJob() *settleJob {
	p := s.pending
	j := &settleJob{window: p.window, totals: p.totals, returned: p.returned, rows: p.rows, tables: s.tables, genesis: s.genesis,
		nextStream: s.nextStream, lastHash: map[money.Currency][32]byte{}, closed: map[money.Currency]uint32{}}
	p.rows = cutRows{}
	for c, h := range s.lastHash {
		j.lastHash[c] = h
	}
	for c, n := range p.closed {
		j.closed[c] = n
	}
	return j
}

// netBatch is one batch before it is sealed.
type netBatch struct {
	manifest       batch.Manifest
	pays, collects uint32          // lines
	closings       [][]closingLine // in the slices that are journaled
}

// close adds the closing transfer of a line.
func (b *netBatch) close(l *batch.Line, ref ledger.Ref) {
	switch l.Direction {
	case batch.Pay:
		b.pays++
	case batch.Collect:
		b.collects++
	case batch.None:
	}
	n := len(b.closings)
	if n == 0 || len(b.closings[n-1]) == closingLines {
		b.closings = append(b.closings, make([]closingLine, 0, closingLines))
		n++
	}
	b.closings[n-1] = append(b.closings[n-1], closingLine{ref, l.Signed(), l.CarriedOut})
}

// sealed is what a seal says of a batch, but for its signature.
func (b *netBatch) sealed() sealedBatch {
	m := &b.manifest
	return sealedBatch{id: m.BatchID, hash: m.Hash(), currency: m.Currency, lines: m.Lines, pays: b.pays, collects: b.collects,
		events: m.Events, paid: m.Sums.Paid, collected: m.Sums.Collected, firstStream: m.FirstStreamSeq}
}

// net makes the batches of the window, by currency code. The rows of line records go to put; without
// it the lines are not made into records, and the manifests lack their hash.
func (j *settleJob) net(roots map[money.Currency][32]byte, put func(key, value []byte) error) ([]netBatch, error) {
	var out []netBatch
	stream := j.nextStream
	rows := j.byCurrency()
	for i := range money.Currencies() {
		c := money.CurrencyAt(i)
		if !j.totals[i].Used {
			continue
		}
		b, err := j.netCurrency(c, rows[i], roots[c], stream, put)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Code(), err)
		}
		if b != nil {
			out = append(out, *b)
			stream += uint64(b.manifest.Lines) + 1
		}
	}
	return out, nil
}

// byCurrency returns the numbers of the rows of each currency, by its index. The operators' are not
// among them: what they have is in the totals.
func (j *settleJob) byCurrency() [][]uint32 {
	counts := make([]int, money.Currencies()+1)
	for i := range j.rows.len {
		row := j.rows.at(i)
		row.currency = 0
		if person := j.tables.people[row.ref]; person.Kind != ledger.Operator {
			row.currency = uint16(person.Currency.Index()) + 1
		}
		counts[row.currency]++
	}
	lists := make([][]uint32, len(counts))
	for i, n := range counts {
		lists[i] = make([]uint32, 0, n)
	}
	for i := range j.rows.len {
		c := j.rows.at(i).currency
		lists[c] = append(lists[c], uint32(i))
	}
	return lists[1:]
}

// netCurrency makes one batch; nil: nobody has a line.
func (j *settleJob) netCurrency(c money.Currency, rows []uint32, root [32]byte, stream uint64, put func(key, value []byte) error) (*netBatch, error) {
	if root == [32]byte{} {
		root = emptyRoot()
	}
	w := j.window
	cut := batch.Cut{Ledger: j.genesis.ledgerID, Partition: j.genesis.partition, Window: w.number, Currency: c,
		First: w.first, Last: w.cut, Time: w.time, Events: j.totals[c.Index()].Events,
		MerkleRoot: root, Previous: j.lastHash[c], FirstStreamSeq: stream}
	b := &netBatch{}
	records := lineRows{scope: cut.Scope(), hash: batch.NewLinesHash(), put: put}
	lines, sums, err := j.lines(c, rows, func(l *batch.Line, ref ledger.Ref) error {
		b.close(l, ref)
		if put == nil {
			return nil
		}
		return records.add(l)
	})
	if err != nil || lines == 0 {
		return nil, err
	}
	if err := records.flush(); err != nil {
		return nil, err
	}
	b.manifest, err = batch.NewManifest(cut, int(lines), sums, records.hash.Sum())
	return b, err
}

// lines nets the rows of a currency and hands out each line with the participant it is of.
func (j *settleJob) lines(c money.Currency, rows []uint32, emit func(*batch.Line, ledger.Ref) error) (uint32, batch.Sums, error) {
	operator := j.totals[c.Index()].Operator
	people := j.tables.people
	order, err := batch.Order(len(rows)+1, func(i uint32) string {
		if int(i) == len(rows) {
			return ledger.OperatorID
		}
		return people[j.rows.at(int(rows[i])).ref].ID
	})
	if err != nil {
		return 0, batch.Sums{}, err
	}
	var ref ledger.Ref
	n := batch.NewNetter(c.Digits(), func(l *batch.Line) error {
		if l.Account == ledger.OperatorID { // it may come late
			return emit(l, operator)
		}
		return emit(l, ref)
	})
	var pos batch.Position
	for _, i := range order {
		if int(i) == len(rows) {
			pos = j.operatorPosition(c)
		} else {
			row := j.rows.at(int(rows[i]))
			ref = row.ref
			pos = j.position(people[ref], row)
		}
		if err := n.Add(&pos); err != nil {
			return 0, batch.Sums{}, err
		}
	}
	return n.Finish()
}

func (j *settleJob) operatorPosition(c money.Currency) batch.Position {
	t := &j.totals[c.Index()]
	return batch.Position{Account: ledger.OperatorID, Kind: batch.Operator, CarriedIn: t.CarriedIn,
		GrossDebits: t.GrossDebits, GrossCredits: t.GrossCredits, Returned: j.returned[t.Operator]}
}

func (j *settleJob) position(p *ledger.Participant, row *cutRow) batch.Position {
	pos := batch.Position{Account: p.ID, CarriedIn: row.carried, GrossDebits: row.debits, GrossCredits: row.credits, Events: row.events,
		MinimumPayout: p.MinimumPayout}
	if len(j.returned) > 0 {
		pos.Returned = j.returned[row.ref]
	}
	if p.Kind == ledger.Provider {
		pos.Kind, pos.Payable = batch.Provider, row.due
	} else {
		pos.Kind, pos.Receivable = batch.Customer, row.due.Neg()
	}
	return pos
}

// lineRows packs line records into rows as they are staged. The key is batch id | number of the
// row's first line (4, big-endian); the value is the records, each preceded by its uvarint length.
type lineRows struct {
	scope  batch.Scope
	hash   *batch.LinesHash
	put    func(key, value []byte) error // neither is kept
	count  uint32                        // lines so far
	value  []byte
	record []byte
	key    []byte
}

// stagedLines is the line records of one staged row, some 40 KiB.
const stagedLines = 128

func (r *lineRows) add(l *batch.Line) error {
	r.record = l.AppendJSON(r.record[:0], &r.scope)
	r.hash.Add(r.record)
	r.value = appendBytes(r.value, r.record)
	if r.count++; r.count%stagedLines == 0 {
		return r.flush()
	}
	return nil
}

// flush hands out the last row.
func (r *lineRows) flush() error {
	if len(r.value) == 0 {
		return nil
	}
	first := (r.count-1)/stagedLines*stagedLines + 1
	r.key = binary.BigEndian.AppendUint32(append(r.key[:0], r.scope.BatchID[:]...), first)
	err := r.put(r.key, r.value)
	r.value = r.value[:0]
	return err
}

func lineKey(batchID [32]byte, first uint32) []byte {
	return binary.BigEndian.AppendUint32(batchID[:], first)
}
