//go:build tigerbeetle && cgo

package peers

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	tigerbeetle "github.com/tigerbeetle/tigerbeetle-go"
	"github.com/tigerbeetle/tigerbeetle-go/pkg/types"
)

// tiger is TigerBeetle, one replica.
type tiger struct {
	cmd      *exec.Cmd
	dir      string
	address  string
	name     string
	accounts int
	client   tigerbeetle.Client
}

const (
	tigerLedger = 1
	tigerCode   = 1
	// tigerBatch is the most transfers that a request takes.
	tigerBatch = 8189
	// tigerFee is the second transfer of an event, the operator's part: a billionth, so that what the operator has is the number of events.
	tigerFee = 1
)

// NewTigerBeetle starts one replica of the given program on a new data file in dir. An event is two linked transfers: its price to the payee, and from there
// the operator's fee.
func NewTigerBeetle(ctx context.Context, program, dir string) (Peer, error) {
	if program == "" {
		return nil, fmt.Errorf("TigerBeetle: %w: no program is given", ErrMissing)
	}
	own, err := os.MkdirTemp(dir, "farthing-tigerbeetle-")
	if err != nil {
		return nil, err
	}
	p := &tiger{dir: own}
	if err := p.start(ctx, program); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *tiger) start(ctx context.Context, program string) error {
	version, err := exec.CommandContext(ctx, program, "version").Output()
	if err != nil {
		return fmt.Errorf("tigerbeetle version: %w", err)
	}
	p.name = string(version[:max(0, len(version)-1)])
	file := filepath.Join(p.dir, "0_0.tigerbeetle")
	if out, err := exec.CommandContext(ctx, program, "format", "--cluster=0", "--replica=0", "--replica-count=1", file).CombinedOutput(); err != nil {
		return fmt.Errorf("tigerbeetle format: %w: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.address = l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	p.cmd = exec.Command(program, "start", "--addresses="+p.address, file)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		for lines := bufio.NewScanner(log); lines.Scan(); { // so that the pipe never fills
		}
	}()
	p.client, err = tigerbeetle.NewClient(types.ToUint128(0), []string{p.address})
	return err
}

// Name says which release.
func (p *tiger) Name() string { return "TigerBeetle " + p.name }

// Notes is what differs.
func (p *tiger) Notes() []string {
	return []string{
		"one replica; two linked transfers an event, in requests of up to 8,189",
		"it gets amounts that are rated already, parses no JSON, and knows an event by the 128 bits of a hash of its id",
		"its transfers can be read back, by account as well; its files are checked by checksums, not chained",
	}
}

// Open opens them in requests as large as may be.
func (p *tiger) Open(_ context.Context, accounts int) error {
	p.accounts = accounts + 1 // the operator's
	for first := 0; first < p.accounts; first += tigerBatch {
		var all []types.Account
		for i := first; i < min(first+tigerBatch, p.accounts); i++ {
			all = append(all, types.Account{ID: types.ToUint128(uint64(i) + 1), Ledger: tigerLedger, Code: tigerCode})
		}
		results, err := p.client.CreateAccounts(all)
		if err != nil || len(results) > 0 {
			return fmt.Errorf("create accounts: %v: %w", results, err)
		}
	}
	return nil
}

// Connect is of Peer.
func (p *tiger) Connect(context.Context) (Connection, error) {
	client, err := tigerbeetle.NewClient(types.ToUint128(0), []string{p.address})
	return &tigerConnection{client: client, operator: types.ToUint128(uint64(p.accounts))}, err
}

// Balances is of Peer.
func (p *tiger) Balances(context.Context) (events int64, balances []int64, err error) {
	for first := 0; first < p.accounts-1; first += tigerBatch {
		var ids []types.Uint128
		for i := first; i < min(first+tigerBatch, p.accounts-1); i++ {
			ids = append(ids, types.ToUint128(uint64(i)+1))
		}
		accounts, err := p.client.LookupAccounts(ids)
		if err != nil || len(accounts) != len(ids) {
			return 0, nil, fmt.Errorf("look up accounts: %d of %d: %w", len(accounts), len(ids), err)
		}
		for i, a := range accounts {
			in, out := a.CreditsPosted.BigInt(), a.DebitsPosted.BigInt()
			if first+i >= p.accounts-1-payees {
				out.SetInt64(0) // the operator's fees: what came in is what was sent
			}
			balances = append(balances, in.Sub(&in, &out).Int64())
		}
	}
	operator, err := p.client.LookupAccounts([]types.Uint128{types.ToUint128(uint64(p.accounts))})
	if err != nil || len(operator) != 1 {
		return 0, nil, fmt.Errorf("look up the operator: %w", err)
	}
	fees := operator[0].CreditsPosted.BigInt()
	return fees.Int64() / tigerFee, balances, nil
}

// Stop ends the server and removes its files.
func (p *tiger) Stop() error {
	if p.client != nil {
		p.client.Close()
	}
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // it was killed
	}
	return os.RemoveAll(p.dir)
}

type tigerConnection struct {
	client    tigerbeetle.Client
	operator  types.Uint128
	transfers []types.Transfer
}

// transferID is the half of a hash.
func transferID(id string, n byte) types.Uint128 {
	sum := sha256.Sum256(append([]byte(id), n))
	return types.BytesToUint128([16]byte(sum[:16]))
}

// Book is of Connection.
func (c *tigerConnection) Book(_ context.Context, events []Event) (fresh int, err error) {
	for len(events) > 0 {
		n := min(len(events), tigerBatch/2)
		booked, err := c.book(events[:n])
		fresh += booked
		if err != nil {
			return fresh, err
		}
		events = events[n:]
	}
	return fresh, nil
}

func (c *tigerConnection) book(events []Event) (fresh int, err error) {
	c.transfers = c.transfers[:0]
	for _, e := range events {
		payer, payee := types.ToUint128(uint64(e.Payer)+1), types.ToUint128(uint64(e.Payee)+1)
		c.transfers = append(c.transfers,
			types.Transfer{ID: transferID(e.ID, 0), DebitAccountID: payer, CreditAccountID: payee, Amount: types.ToUint128(uint64(e.Amount)), Ledger: tigerLedger, Code: tigerCode,
				Flags: types.TransferFlags{Linked: true}.ToUint16()},
			types.Transfer{ID: transferID(e.ID, 1), DebitAccountID: payee, CreditAccountID: c.operator, Amount: types.ToUint128(tigerFee), Ledger: tigerLedger, Code: tigerCode})
	}
	results, err := c.client.CreateTransfers(c.transfers)
	if err != nil {
		return 0, err
	}
	refused := map[uint32]bool{} // events; a result is listed for each transfer that was not made
	for _, r := range results {
		if r.Result != types.TransferExists && r.Result != types.TransferLinkedEventFailed {
			return 0, fmt.Errorf("a transfer is refused: %v", r.Result)
		}
		refused[r.Index/2] = true
	}
	return len(events) - len(refused), nil
}

// Close is of Connection.
func (c *tigerConnection) Close() error {
	c.client.Close()
	return nil
}
