package batch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/shopspring/decimal"
)

// TestScenarios runs the netting stories in testdata/net. Commands, one a line:
//
//	book <currency>                      a new ledger
//	do                                   moves, one a line:
//	    customer <id>
//	    provider <id> [<minimum payout>]
//	    topup <account> <amount>
//	    usage <payer> <payee> <amount>
//	    void <payer> <payee> <amount>
//	    minimum <provider> <amount>      a new minimum payout
//	    failed <account>                 its last line did not go through
//	close                                closes the window, shows lines and sums
//	records                              the same, shows the canonical records
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/net", func(t *testing.T, path string) {
		var b *book
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "book":
				b = newBook(d.CmdArgs[0].Key)
				return ""
			case "do":
				for move := range strings.Lines(d.Input) {
					runMove(t, b, strings.Fields(move))
				}
				return ""
			case "close":
				return runClose(t, b, false)
			case "records":
				return runClose(t, b, true)
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func runMove(t *testing.T, b *book, args []string) {
	t.Helper()
	number := func(i int) decimal.Decimal {
		if i >= len(args) {
			return decimal.Zero
		}
		return decimal.RequireFromString(args[i])
	}
	switch args[0] {
	case "customer":
		b.open(args[1], Customer, decimal.Zero)
	case "provider":
		b.open(args[1], Provider, number(2))
	case "topup":
		b.transfer(OperatorAccount, args[1], number(2))
	case "usage":
		b.usage(args[1], args[2], number(3))
	case "void":
		b.transfer(args[2], args[1], number(3))
	case "minimum":
		b.account(args[1]).minimum = number(2)
	case "failed":
		b.giveBack(args[1])
	default:
		t.Fatalf("unknown move %q", args)
	}
}

// runClose nets the window, compares it with the twin, proves it through
// VerifyLines, and shows it.
func runClose(t *testing.T, b *book, asRecords bool) string {
	t.Helper()
	want := b.want()
	lines, sums, err := netAll(b.positions(), b.currency.Digits())
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	if got := showLines(lines); join(got) != join(want) {
		t.Fatalf("got\n%s\nwant\n%s", join(got), join(want))
	}
	defer b.settle(lines)
	if len(lines) == 0 {
		return "no batch\n"
	}
	m, recs := seal(t, b, lines, sums)
	if !asRecords {
		return join(showLines(lines)) + "\n" + showSums(&sums) + "\n"
	}
	out := ""
	for _, r := range recs {
		out += string(r) + "\n"
	}
	return out + string(m.AppendJSON(nil)) + fmt.Sprintf("\nhash %x\n", m.Hash())
}

// seal makes manifest and records and checks that they are verified.
func seal(t *testing.T, b *book, lines []Line, sums Sums) (Manifest, [][]byte) {
	t.Helper()
	cut := b.cut()
	scope := cut.Scope()
	m, err := NewManifest(cut, len(lines), sums, HashLines(&scope, lines))
	if err != nil {
		t.Fatal(err)
	}
	recs := records(&scope, lines)
	if err := verify(&m, recs); err != nil {
		t.Fatal(err)
	}
	return m, recs
}

func verify(m *Manifest, recs [][]byte) error {
	return VerifyLines(m, func(yield func([]byte, error) bool) {
		for _, r := range recs {
			if !yield(slices.Clone(r), nil) {
				return
			}
		}
	})
}

func TestVerifyPassesOnErrors(t *testing.T) {
	b := newBook("USD")
	b.open("acme", Customer, decimal.Zero)
	b.usage("acme", OperatorAccount, decimal.New(5, 0))
	lines, sums, err := netAll(b.positions(), 2)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := seal(t, b, lines, sums)
	broken := errors.New("disk")
	got := VerifyLines(&m, func(yield func([]byte, error) bool) { yield(nil, broken) })
	if !errors.Is(got, broken) {
		t.Errorf("got %v", got)
	}
}
