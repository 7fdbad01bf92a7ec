package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"testing"

	"farthing/bench/client"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestTransitFaults(t *testing.T) {
	w, b := settledWorld(t)
	b.id = "b1"
	w.use(w.bill("z", "y", "100"))
	w.close()
	w.batches[1].id = "b2"
	w.result(b.lines[0], "partially_paid", "1", "1", nil)
	w.result(b.lines[1], "paid", "", "3", nil)
	f := func(what string, faults int, wrong func(items []client.InTransit) []client.InTransit) {
		t.Helper()
		items := []client.InTransit{
			{BatchID: "b1", Window: 1, Currency: "USD", AgeSeconds: 5, Lines: 2, Pay: client.M("9.69"), Collect: client.M("2.77")},
			{BatchID: "b2", Window: 2, Currency: "JPY", AgeSeconds: 5, Lines: 2, Pay: client.M("90"), Collect: client.M("100")},
		}
		if got := w.transitFaults(wrong(items)); len(got) != faults {
			t.Errorf("%s: %d faults, want %d: %v", what, len(got), faults, got)
		}
	}
	change := func(change func(i *client.InTransit)) func(items []client.InTransit) []client.InTransit {
		return func(items []client.InTransit) []client.InTransit {
			change(&items[1])
			return items
		}
	}
	f("nothing", 0, change(func(*client.InTransit) {}))
	f("window", 1, change(func(i *client.InTransit) { i.Window = 3 }))
	f("currency", 1, change(func(i *client.InTransit) { i.Currency = "USD" }))
	f("lines", 1, change(func(i *client.InTransit) { i.Lines = 1 }))
	f("pay", 1, change(func(i *client.InTransit) { i.Pay = client.M("89") }))
	f("collect", 1, change(func(i *client.InTransit) { i.Collect = client.M("99") }))
	f("age", 1, change(func(i *client.InTransit) { i.AgeSeconds = 6 }))
	f("order", 1, func(items []client.InTransit) []client.InTransit {
		items[0], items[1] = items[1], items[0]
		return items
	})
	f("one less", 2, func(items []client.InTransit) []client.InTransit { return items[:1] })
	f("one more", 1, func(items []client.InTransit) []client.InTransit {
		return append(items, client.InTransit{BatchID: "b3", Window: 3})
	})
}

// statementWorld is the second line of c, which has something of everything.
func statementWorld(t *testing.T) *settledLine {
	w, b := settledWorld(t)
	w.result(b.lines[0], "failed", "", "3.77", nil)
	w.topUp("c", amountOf("0.5"))
	paid := w.bill("c", "p", "2")
	w.use(paid)
	w.void(w.bill("c", "p", "0.25"))
	closed := w.close()
	closed[0].id = "b"
	return closed[0].lines[0]
}

func TestStatementFaults(t *testing.T) {
	f := func(what string, faults int, wrong func(s *client.Statement)) {
		t.Helper()
		l := statementWorld(t)
		m := "m"
		quantity := client.M("10")
		item := func(amount string) []client.StatementItem { return []client.StatementItem{{Amount: client.M(amount)}} }
		s := client.Statement{Account: "c", Kind: "customer", Currency: "USD", Window: 2, Events: 1, Opening: client.M("-0.007"), Closing: client.M("-0.007"),
			Line:        client.LineState{BatchID: "b", Line: 1, Open: client.M("5.02"), Status: "open"},
			Usage:       []client.StatementUsage{{Model: &m, Component: "input", Quantity: &quantity, Amount: client.M("-2")}},
			Corrections: []client.StatementUsage{{Amount: client.M("0.25")}},
			Credits:     item("0.5"), Returned: item("-3.77"), Payments: item("5.02")}
		wrong(&s)
		if got := l.statementFaults(&s); len(got) != faults {
			t.Errorf("%s: %d faults, want %d: %v", what, len(got), faults, got)
		}
	}
	more := func(m *client.Money) { m.Decimal = m.Add(amountOf("0.01")) }
	f("nothing", 0, func(*client.Statement) {})
	f("account", 1, func(s *client.Statement) { s.Account = "d" })
	f("kind", 1, func(s *client.Statement) { s.Kind = "provider" })
	f("currency", 1, func(s *client.Statement) { s.Currency = "JPY" })
	f("window", 1, func(s *client.Statement) { s.Window = 1 })
	f("events", 1, func(s *client.Statement) { s.Events = 2 })
	f("line", 1, func(s *client.Statement) { s.Line.Line = 2 })
	f("state", 1, func(s *client.Statement) { s.Line.Status = "paid" })
	f("opening", 2, func(s *client.Statement) { more(&s.Opening) })
	f("closing", 2, func(s *client.Statement) { more(&s.Closing) })
	f("opening and closing", 2, func(s *client.Statement) { more(&s.Opening); more(&s.Closing) })
	f("usage", 3, func(s *client.Statement) { more(&s.Usage[0].Amount) })
	f("quantity", 1, func(s *client.Statement) { *s.Usage[0].Quantity = client.M("11") })
	f("model", 1, func(s *client.Statement) { s.Usage[0].Model = nil })
	f("component", 1, func(s *client.Statement) { s.Usage[0].Component = "output" })
	f("corrections", 2, func(s *client.Statement) { more(&s.Corrections[0].Amount) })
	f("credits", 2, func(s *client.Statement) { more(&s.Credits[0].Amount) })
	f("returned", 2, func(s *client.Statement) { more(&s.Returned[0].Amount) })
	f("payments", 2, func(s *client.Statement) { more(&s.Payments[0].Amount) })
	f("a credit moved to the charges", 2, func(s *client.Statement) { s.Credits, s.Charges = nil, s.Credits })
	f("a credit moved to the losses", 2, func(s *client.Statement) { s.Credits, s.Losses = nil, s.Credits })
	f("a fee", 1, func(s *client.Statement) { s.Fees = s.Credits })
}

func TestSignatureFaults(t *testing.T) {
	s := newSigning(t, t.TempDir())
	s.rotate(t)
	private := make([]ed25519.PrivateKey, 3)
	for i := range private {
		seed := sha256.Sum256([]byte{byte(i)})
		private[i] = ed25519.NewKeyFromSeed(seed[:])
	}
	s.keys = []ed25519.PublicKey{private[0].Public().(ed25519.PublicKey), private[1].Public().(ed25519.PublicKey)}
	f := func(what string, faults int, by ...int) {
		t.Helper()
		got := newSettlements()
		got.applied[0] = []*kgo.Record{record("1", lineType, "l", "{}")}
		for _, key := range by {
			r := record("2", batchType, "i", `{"batch_id":"b1"}`)
			if key >= 0 {
				signature := ed25519.Sign(private[key], r.Value)
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: "signature", Value: []byte(base64.StdEncoding.EncodeToString(signature))})
			}
			got.applied[0] = append(got.applied[0], r)
		}
		if got := s.signatureFaults(got); len(got) != faults {
			t.Errorf("%s: %d faults, want %d: %v", what, len(got), faults, got)
		}
	}
	f("both", 0, 0, 0, 1, 1)
	f("only the first", 1, 0, 0)
	f("the first again", 1, 0, 1, 0)
	f("a stranger's", 1, 0, 2, 1)
	f("none", 1, 0, -1, 1)
}

// The books are read from a server that says nothing: each is missed.
func TestBooksAreMissed(t *testing.T) {
	status, answer := 200, `{"items":[]}`
	c := client.New(client.At(answering(t, &status, &answer)), client.Options{})
	w, _ := settledWorld(t)
	items, err := c.InTransit(context.Background())
	if err != nil || len(w.transitFaults(items)) == 0 {
		t.Errorf("nothing in transit: %v", err)
	}
	var l client.LineState
	if err := json.Unmarshal([]byte(`{}`), &l); err != nil || w.batches[0].lines[0].equal(&l) {
		t.Errorf("no state: %v", err)
	}
}
