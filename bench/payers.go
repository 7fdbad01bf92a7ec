package bench

import "math/rand/v2"

// payers says which payer each element of a turn has, each time the turn is sent: always the one that was drawn; or, moving on by a stride,
// every payer in turn; or what a table of Zipf's law says. Immutable, shared by all turns of a run.
type payers struct {
	accounts int
	moves    bool
	table    []uint32
}

// stride is how far a turn moves among the payers each time: far, so that
// neighbours in the server's memory are not used one after the other, and
// prime, so that every payer comes up.
const stride = 15_485_863

const (
	// tableLen is how many payers are drawn beforehand: enough that a run of minutes repeats no sequence, few enough to be read from the cache.
	tableLen = 1 << 20
	// zipfExponent is that of most key-value benchmarks (0.99), as near as the generator goes: a million payers, of whom the
	// first hundred have a third of the events.
	zipfExponent = 1.01
	// zipfScatter spreads the ranks over the payers, so that those who have the most do not stand together in the server's memory.
	zipfScatter = 2_654_435_761
)

func newPayers(w Workload, accounts int, seed uint64) *payers {
	p := &payers{accounts: accounts, moves: w.moves()}
	if w.Zipf {
		rng := rand.New(rand.NewPCG(seed, 2))
		z := rand.NewZipf(rng, zipfExponent, 1, uint64(accounts-1))
		p.table = make([]uint32, tableLen)
		for i := range p.table {
			p.table[i] = uint32(z.Uint64() * zipfScatter % uint64(accounts))
		}
	}
	return p
}

// of is the payer of element i when its turn is sent for the sent-th time, from 0.
func (p *payers) of(t *turn, i int, sent uint64) int {
	switch {
	case p.table != nil:
		return int(p.table[(t.start+sent*stride+uint64(i))%tableLen])
	case p.moves:
		return int((uint64(t.draws[i].payer) + sent*stride) % uint64(p.accounts))
	}
	return t.draws[i].payer
}

// change says whether an element has another payer each time.
func (p *payers) change() bool { return p.moves || p.table != nil }
