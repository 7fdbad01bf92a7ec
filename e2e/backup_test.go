package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"farthing/bench/child"
	"farthing/bench/client"
	"farthing/internal/soak"
)

// backupLoad posts events from several clients and remembers what was acknowledged.
type backupLoad struct {
	mu    sync.Mutex
	acked []string // ids
}

func (l *backupLoad) run(ctx context.Context, t *testing.T, c *client.Client, name string) {
	for n := 0; ctx.Err() == nil && n < soak.Pick(400, 1<<30); n++ {
		var events []client.Event
		for k := range 20 {
			events = append(events, client.Event{ID: fmt.Sprintf("%s-%d-%d", name, n, k), Source: "gw", Type: "api.calls", Subject: "acme"})
		}
		if _, err := c.Post(ctx, events); err != nil {
			if ctx.Err() == nil {
				t.Logf("%s: %v", name, err) // the server was killed: nothing was acknowledged
			}
			return
		}
		l.mu.Lock()
		for i := range events {
			l.acked = append(l.acked, events[i].ID)
		}
		l.mu.Unlock()
	}
}

func (l *backupLoad) so() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.acked...)
}

// TestBackupRestoreExportImport runs the binary: backups under load, one of which ends with kill -9; restore with verify; export, killed
// as well, and import. Everything that was acknowledged before a backup was asked for is in it, and comes through export and import.
func TestBackupRestoreExportImport(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	dir := t.TempDir()
	binary := build(ctx, t, dir)
	data, backups := filepath.Join(dir, "data"), filepath.Join(dir, "backups")
	server := child.New(child.Options{Binary: binary, Data: data, Scratch: dir, Log: logFile(t, dir), Args: []string{"--backup-dir", backups, "--backup-copy"}})
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Kill() }()
	c := client.New(server.URL, client.Options{})
	if err := c.Open(ctx, client.Account{ID: "acme", Currency: "USD", Kind: "customer", Billing: "postpaid"}); err != nil {
		t.Fatal(err)
	}
	load, loading := &backupLoad{}, sync.WaitGroup{}
	for n := range 3 {
		loading.Go(func() { load.run(ctx, t, c, fmt.Sprint("client", n)) })
	}
	promised := map[string][]string{}
	for n := range soak.Pick(2, 10) {
		id := fmt.Sprint("nightly-", n)
		before := load.so()
		farthing(ctx, t, binary, "backup", id, "--server", server.URL())
		promised[id] = before
	}

	// kill -9 while a backup is made: what it leaves is no backup, and goes when the server starts.
	asking := exec.CommandContext(ctx, binary, "backup", "killed", "--server", server.URL())
	if err := asking.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if left, _ := filepath.Glob(filepath.Join(backups, "killed*")); len(left) > 0 {
			break
		}
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = asking.Wait() // it lost its server, or was quicker
	loading.Wait()
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(backups, "*.new")); len(left) != 0 {
		t.Fatalf("an interrupted backup is still there: %v", left)
	}
	farthing(ctx, t, binary, "backup", "killed", "--server", server.URL())
	promised["killed"] = load.so()
	if err := server.Terminate(); err != nil {
		t.Fatal(err)
	}
	events := 0
	for id, acked := range promised {
		restored := filepath.Join(dir, "restored-"+id)
		farthing(ctx, t, binary, "restore", "--from", filepath.Join(backups, id), "--data", restored)
		holdsAll(ctx, t, binary, restored, filepath.Join(data, "signing-key.pem"), acked)
		events += len(acked)
	}
	throughFiles(ctx, t, binary, dir, data, load.so())
	soak.Report(t, "backup, restore, export, import", soak.Counts{"backups": len(promised), "events acknowledged": events, "events lost": 0})
}

// throughFiles exports a data directory, with one export killed, and imports it again.
func throughFiles(ctx context.Context, t *testing.T, binary, dir, data string, acked []string) {
	t.Helper()
	for _, format := range []string{"ndjson", "parquet"} {
		to, again := filepath.Join(dir, "export-"+format), filepath.Join(dir, "imported-"+format)
		args := []string{"export", "--data", data, "--to", to, "--format", format, "--part-commands", soak.Pick("4000", "100000")}
		killed := exec.CommandContext(ctx, binary, args...)
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			if parts, _ := filepath.Glob(filepath.Join(to, "*.manifest.json")); len(parts) > 1 {
				break
			}
		}
		_ = killed.Process.Kill()
		_ = killed.Wait()
		farthing(ctx, t, binary, args...)
		farthing(ctx, t, binary, "export", "check", to)
		farthing(ctx, t, binary, "import", "--from", to, "--data", again)
		holdsAll(ctx, t, binary, again, filepath.Join(data, "signing-key.pem"), acked)
	}
}

// holdsAll starts a server on a directory and sends what was acknowledged once more: every event is a duplicate.
func holdsAll(ctx context.Context, t *testing.T, binary, data, key string, acked []string) {
	t.Helper()
	server := child.New(child.Options{Binary: binary, Data: data, Scratch: t.TempDir(), Args: []string{"--signing-key", key}})
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Kill() }()
	c := client.New(server.URL, client.Options{})
	for len(acked) > 0 {
		var events []client.Event
		for _, id := range acked[:min(len(acked), 500)] {
			events = append(events, client.Event{ID: id, Source: "gw", Type: "api.calls", Subject: "acme"})
		}
		acked = acked[len(events):]
		got, err := c.Post(ctx, events)
		if err != nil {
			t.Fatal(err)
		}
		if got.Duplicates != len(events) {
			t.Fatalf("%s: %d of %d acknowledged events are there", data, got.Duplicates, len(events))
		}
	}
	if err := server.Terminate(); err != nil {
		t.Fatal(err)
	}
	farthing(ctx, t, binary, "verify", "--data", data)
}

// farthing runs a command that has to succeed.
func farthing(ctx context.Context, t *testing.T, binary string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.Env = append(os.Environ(), "FARTHING_LOG_LEVEL=warn")
	if err := cmd.Run(); err != nil {
		t.Fatalf("farthing %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), log.String())
	}
	return out.String()
}
