package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"farthing/bench/child"
	"farthing/bench/client"
	"farthing/publish/kafkatest"

	"github.com/cockroachdb/datadriven"
	"github.com/shopspring/decimal"
)

// TestExplained plays the files of testdata/explain against the built binary: what somebody
// who disputes a charge is shown. Every step of arithmetic is checked with decimals besides.
// -rewrite writes the files anew; read the diff as that somebody would.
func TestExplained(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	binary := build(ctx, t, t.TempDir())
	files, err := filepath.Glob("testdata/explain/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			var args []string
			if strings.HasPrefix(filepath.Base(file), "kafka") {
				args = []string{"--kafka", kafkatest.StartOwn(t).Addr, "--create-topics"}
			}
			e := startExplained(ctx, t, binary, args)
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string { return e.run(ctx, t, d) })
			if err := e.server.Terminate(); err != nil {
				t.Errorf("SIGTERM must end with exit 0: %v", err)
			}
			if _, err := child.Verify(ctx, binary, e.data); err != nil {
				t.Error(err)
			}
		})
	}
}

// explained is a server whose answers do not depend on when and where it runs: its ledger's
// id is given, and it takes events of any age, so that theirs need not move.
type explained struct {
	server *child.Server
	client *client.Client
	data   string
}

func startExplained(ctx context.Context, t *testing.T, binary string, args []string) *explained {
	t.Helper()
	dir := t.TempDir()
	e := &explained{data: filepath.Join(dir, "data")}
	e.server = child.New(child.Options{Binary: binary, Data: e.data, Scratch: dir, Log: logFile(t, dir),
		Args: append([]string{"--ledger-id", "explained", "--settle-every", "0", "--dedup-window", "876000h"}, args...)})
	if err := e.server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.server.Kill() }) // does nothing after Terminate
	e.client = client.New(e.server.URL, client.Options{})
	return e
}

// run executes one command of a file. Those that send say what was sent where; the answer is
// shown as it comes, moments that differ from run to run excepted.
func (e *explained) run(ctx context.Context, t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	path := "/"
	if len(d.CmdArgs) > 0 {
		path = d.CmdArgs[0].Key
	}
	switch d.Cmd {
	case "post", "put":
		_, answer, err := e.client.Do(ctx, strings.ToUpper(d.Cmd), path, "application/json", []byte(d.Input))
		if err != nil {
			return refusalText(err)
		}
		return moments(string(answer))
	case "get":
		return moments(pretty(t, e.get(ctx, t, path)))
	case "explain": // a get whose arithmetic is checked
		answer := e.get(ctx, t, path)
		checkArithmetic(t, answer)
		return moments(pretty(t, answer))
	case "charge": // the same on few lines
		answer := e.get(ctx, t, path)
		checkArithmetic(t, answer)
		return charge(t, answer)
	case "await": // a get until the answer contains the input
		return moments(pretty(t, e.await(ctx, t, path, func(answer []byte) bool { return bytes.Contains(answer, []byte(d.Input)) })))
	case "published": // every batch is where its manifest says
		return e.published(ctx, t)
	}
	t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	return ""
}

func (e *explained) get(ctx context.Context, t *testing.T, path string) []byte {
	t.Helper()
	_, answer, err := e.client.Do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// await asks until the answer is what it should be.
func (e *explained) await(ctx context.Context, t *testing.T, path string, done func(answer []byte) bool) []byte {
	t.Helper()
	ticker := time.NewTicker(retryEvery)
	defer ticker.Stop()
	for {
		answer := e.get(ctx, t, path)
		if done(answer) {
			return answer
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s still answers %s", path, answer)
		case <-ticker.C:
		}
	}
}

// published waits until the broker has confirmed every batch.
func (e *explained) published(ctx context.Context, t *testing.T) string {
	t.Helper()
	var out strings.Builder
	e.await(ctx, t, "/v1/settlements", func(answer []byte) bool {
		var list struct{ Items []client.Manifest }
		if err := json.Unmarshal(answer, &list); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		for _, m := range list.Items {
			if m.Published == nil {
				return false
			}
			fmt.Fprintf(&out, "window %d: %s/%d, offsets %d to %d\n", m.Window, m.Published.Topic, m.Published.Partition, m.Published.FirstOffset, m.Published.LastOffset)
		}
		return true
	})
	return out.String()
}

func refusalText(err error) string {
	var p *client.Problem
	if !errors.As(err, &p) {
		return err.Error()
	}
	return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail)
}

func pretty(t *testing.T, answer []byte) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, answer, "", " "); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	return out.String()
}

// moment is a time at which something was recorded. Events and versions are of 2024.
var moment = regexp.MustCompile(`"(2[1-9]|20[3-9]|202[5-9])[0-9]*-[0-9][0-9]-[0-9][0-9]T[0-9:.]*Z"`)

func moments(text string) string { return moment.ReplaceAllString(text, `"(when it was recorded)"`) }

// shownEvent is what the arithmetic of an event is checked on.
type shownEvent struct {
	UsageFormat string          `json:"usage_format"`
	Reported    json.RawMessage `json:"reported"`
	shownRating
	Corrections []struct {
		Back, New *shownRating
	} `json:"corrections"`
}

type shownRating struct {
	Components []struct {
		Component string       `json:"component"`
		Quantity  client.Money `json:"quantity"`
		Amount    client.Money `json:"amount"`
		Steps     []string     `json:"steps"`
	} `json:"components"`
	Price *struct {
		Version string            `json:"version"`
		Match   map[string]string `json:"match"`
	} `json:"price"`
	Amount    client.Money `json:"amount"`
	Fee       client.Money `json:"fee"`
	Transfers []struct {
		Debit  string       `json:"debit"`
		Credit string       `json:"credit"`
		Amount client.Money `json:"amount"`
	} `json:"transfers"`
}

// charge shows an event's first rating on few lines.
func charge(t *testing.T, answer []byte) string {
	t.Helper()
	var e shownEvent
	var reported bytes.Buffer
	if err := json.Unmarshal(answer, &e); err != nil {
		t.Fatal(err)
	}
	if err := json.Compact(&reported, e.Reported); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s reported %s\n", e.UsageFormat, reported.String())
	match, err := json.Marshal(e.Price.Match)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "price of version %s for %s\n", e.Price.Version, match)
	for _, c := range e.Components {
		fmt.Fprintf(&out, "%-19s %s\n", c.Component, strings.Join(c.Steps, "; "))
	}
	fmt.Fprintf(&out, "%-19s %s\n", "amount", e.Amount)
	for _, tr := range e.Transfers {
		fmt.Fprintf(&out, "%-19s %s -> %s\n", tr.Amount, tr.Debit, tr.Credit)
	}
	return out.String()
}

// checkArithmetic checks every rating of an event as somebody with a pocket calculator.
func checkArithmetic(t *testing.T, answer []byte) {
	t.Helper()
	var e shownEvent
	if err := json.Unmarshal(answer, &e); err != nil {
		t.Fatal(err)
	}
	e.check(t)
	for _, c := range e.Corrections {
		for _, r := range []*shownRating{c.Back, c.New} {
			if r != nil {
				r.check(t)
			}
		}
	}
}

// check: the steps lead to each component's amount, which sum to the rating's, which is what
// the transfers move.
func (r *shownRating) check(t *testing.T) {
	t.Helper()
	sum, moved := decimal.Zero, decimal.Zero
	for _, c := range r.Components {
		sum = sum.Add(c.Amount.Decimal)
		result, err := calculate(c.Steps)
		if err != nil || !result.Equal(c.Amount.Decimal) {
			t.Errorf("%s: the steps %q come to %s (%v), the amount is %s", c.Component, c.Steps, result, err, c.Amount)
		}
	}
	for _, tr := range r.Transfers {
		moved = moved.Add(tr.Amount.Decimal)
	}
	if !sum.Equal(r.Amount.Decimal) || !moved.Equal(r.Amount.Abs()) {
		t.Errorf("the components come to %s, the transfers to %s, the amount is %s", sum, moved, r.Amount)
	}
}
