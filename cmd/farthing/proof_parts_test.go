package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"farthing/engine"
	"farthing/export"
	"farthing/journal"
	"farthing/meter"
	"farthing/money"
)

// foundDropped gives a ledger its account and its prices.
func foundDropped(t *testing.T, e *engine.Engine) {
	t.Helper()
	usd, _ := money.Lookup("USD")
	if _, _, no := e.CreateAccount(engine.AccountSpec{ID: "acme", Currency: usd, Kind: "customer", Billing: "postpaid"}); no != nil {
		t.Fatal(no)
	}
	v, no := meter.ParseVersion("v1", []byte(`{"effective_from":"2020-01-01T00:00:00Z","prices":[{"meter":"call","currency":"USD","components":{"call":"1.25"}}]}`))
	if no == nil {
		_, _, no = e.PutPrices(v, nil)
	}
	if no != nil {
		t.Fatal(no)
	}
}

// droppedLedger makes a data directory of the last month of which the first weeks are exported to parts and dropped. It returns the proof of its
// first event as it was before, and its sequence.
func droppedLedger(t *testing.T, data, parts string, signing *signingFlags) (before engine.Proof, seq uint64) {
	t.Helper()
	var now atomic.Int64
	now.Store(time.Now().Add(-30 * 24 * time.Hour).UnixNano())
	o := engine.Options{Journal: journal.Options{Dir: data, Logger: slog.New(slog.DiscardHandler)}, LedgerID: "led.7", Logger: slog.New(slog.DiscardHandler),
		Now: now.Load, Clock: func() time.Time { return time.Unix(0, now.Load()) }, DedupWindow: time.Hour, Retention: 24 * time.Hour, RunIdentities: 10,
		SigningKey: signing.signing,
		Export: func(p engine.ExportPart) ([32]byte, error) {
			out, err := export.Write(context.Background(), p.Source, export.Options{Dir: parts, Through: p.Through})
			return out.Manifest, err
		}}
	e := must(engine.Open(o))(t)
	foundDropped(t, e)
	post := func(day int) {
		q := e.Acquire(400)
		b := q.Batch()
		b.Begin(0)
		b.SetSource([]byte("gw/1"))
		b.SetID(fmt.Append(nil, "e", day))
		b.SetSubject([]byte("acme"))
		b.SetType([]byte("call"))
		b.End()
		if out, no := e.Ingest(q); no != nil || out.Accepted != 1 {
			t.Fatalf("%+v %v", out, no)
		}
		e.Release(q)
		now.Add(int64(24 * time.Hour))
		if day%10 == 9 {
			if _, _, no := e.CloseWindow(fmt.Sprint("w", day), nil); no != nil {
				t.Fatal(no)
			}
		}
	}
	for day := range 30 {
		post(day)
	}
	before, no := e.Proof("gw/1", "e0")
	if no != nil {
		t.Fatal(no)
	}
	for range 40 { // a start forgets, or drops what is forgotten, beside everything else
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = must(engine.Open(o))(t)
		for deadline := time.Now().Add(100 * time.Millisecond); e.Stats().Dropped == 0 && time.Now().Before(deadline); {
			if _, no := e.Account("acme"); no != nil {
				t.Fatal(no)
			}
		}
		if e.Stats().Dropped > before.Sequence {
			break
		}
	}
	if dropped := e.Stats().Dropped; dropped < before.Sequence {
		t.Fatalf("dropped to %d", dropped)
	}
	post(39) // in a window of its own, so that an export of what is left proves it wherever the base is
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return before, before.Sequence
}

// TestProofOfDropped proves an event that the server has dropped with the parts that hold it, and one that it has, with the server and with an export;
// proof check takes the files as they are.
func TestProofOfDropped(t *testing.T) {
	dir := t.TempDir()
	data, parts, key := filepath.Join(dir, "data"), filepath.Join(dir, "parts"), filepath.Join(dir, "key.pem")
	_, public, _ := command(t, "proof", "new-key", key)
	trusted := writeFile(t, public)
	signing := &signingFlags{SigningKey: key}
	if err := signing.loadSigningKey(data, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	before, seq := droppedLedger(t, data, parts, signing)
	all := filepath.Join(dir, "all")
	if code, out, messages := command(t, "export", "--data="+data, "--to="+all); code != exitOK {
		t.Fatal(code, out, messages)
	}
	s := serveOn(t, "--data="+data, "--settle-every=0", "--signing-key="+key)
	defer s.stop()

	if code, text := send(t, http.MethodGet, s.url+"/v1/events/gw%2F1/e0/proof", "", ""); code != http.StatusNotFound {
		t.Fatalf("the dropped event: %d %s", code, text)
	}
	fetch := func(id string, more ...string) (document []byte) {
		t.Helper()
		files := filepath.Join(t.TempDir(), "files")
		if code, out, messages := command(t, append([]string{"proof", "fetch", "--server=" + s.url, "--source=gw/1", "--id=" + id, "--dir=" + files}, more...)...); code != exitOK {
			t.Fatal(code, out, messages)
		}
		at := func(name string) string { return filepath.Join(files, name) }
		code, out, messages := command(t, "proof", "check", "--proof="+at(proofName), "--manifest="+at(manifestName), "--chain="+at(chainName), "--key="+trusted)
		if code != exitOK || !strings.Contains(out, "\nproven: "+id+" of source gw/1") {
			t.Fatalf("exit code %d\n%s%s", code, out, messages)
		}
		return must(os.ReadFile(at(proofName)))(t)
	}
	first := fetch("e0", "--parts="+parts)
	if again := fetch("e0", "--parts="+parts, fmt.Sprint("--sequence=", seq)); !bytes.Equal(first, again) || !bytes.Contains(first, []byte(before.Batch)) {
		t.Errorf("%s\nwith its sequence:\n%s", first, again)
	}
	if kept, exported := fetch("e39"), fetch("e39", "--parts="+all); !bytes.Equal(kept, exported) {
		t.Errorf("%s\nfrom the export:\n%s", kept, exported)
	}

	f := func(code int, want string, args ...string) {
		t.Helper()
		got, out, messages := command(t, append([]string{"proof", "fetch", "--server=" + s.url, "--source=gw/1", "--dir=" + filepath.Join(dir, "none")}, args...)...)
		if got != code || !strings.Contains(messages, want) {
			t.Errorf("%v: exit code %d: %s%s, want %q", args, got, out, messages, want)
		}
	}
	f(exitFailure, "no event nobody of source gw/1", "--id=nobody", "--parts="+parts)
	f(exitFailure, "holds no part of an export", "--id=e0", "--parts="+dir)
	f(exitUsage, "--sequence goes with --parts", "--id=e0", "--sequence=3")
	f(exitFailure, "404", "--id=e0")
}
