package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"time"

	"farthing/bench"
	"farthing/bench/client"
	"farthing/engine"
	"farthing/httpapi"
	"farthing/journal"
	"farthing/refusal"
)

// backupCmd is `farthing backup`.
type backupCmd struct {
	ID   string `arg:"" help:"Name of the backup: 1 to 64 of A-Z a-z 0-9 . _ -" placeholder:"ID"`
	Data string `help:"Copy this data directory, which no server has open, instead of asking a server." placeholder:"DIR"`
	To   string `help:"With --data: the directory that gets the backup, as a directory called ID." placeholder:"DIR"`

	serverFlags
}

// Help is the long help of the command.
func (backupCmd) Help() string {
	return `Asks a running server for a copy of its ledger, which it puts into the directory of
its --backup-dir, and waits until it is whole. Everything that was answered before
is in it. The same ID again is the same backup.

    farthing backup nightly-2026-11-29
    farthing backup before-upgrade --data ./data --to /mnt/backups

A backup holds the ledger: accounts, events, settlements, and the secrets of
webhooks. It holds neither the key that signs batches nor API keys; keep these
apart. Files that never change are hard links where the backup is on the disk
of the data (see --backup-copy of farthing serve): copy it to another machine.`
}

// Run makes the backup.
func (c *backupCmd) Run(ctx *Context) error {
	if !engine.ValidBackupID(c.ID) {
		return usageError{fmt.Errorf("%q is no name for a backup: want 1 to 64 of A-Z a-z 0-9 . _ -, not beginning with a dot nor ending with .new", c.ID)}
	}
	if (c.Data == "") != (c.To == "") {
		return usageError{errors.New("--data and --to go together")}
	}
	progress := newWorkProgress(ctx, "copying")
	var made engine.Backup
	var err error
	if c.Data != "" {
		made, err = engine.BackupDataDir(journal.Options{Dir: c.Data, Logger: ctx.Log}, filepath.Join(c.To, c.ID), c.ID, time.Now(), progress.tell)
	} else {
		made, err = c.ask(ctx, progress)
	}
	progress.end()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(ctx.Stdout, "backup %s: ledger %s to sequence %s, %s files, %s bytes\n", made.ID, made.Ledger,
		bench.Thousands(int64(made.Sequence)), bench.Thousands(int64(made.Files)), bench.Thousands(int64(made.Bytes)))
	return err
}

// askEvery is how often a server is asked how far a backup is.
const askEvery = time.Second

type backupAnswer struct {
	engine.Backup
	FilesDone  uint64 `json:"files_done"`
	FilesTotal uint64 `json:"files_total"`
	Error      string `json:"error"`
}

func (c *backupCmd) ask(ctx *Context, progress *workProgress) (engine.Backup, error) {
	cl := client.New(client.At(c.url()), client.Options{Key: c.Key, Timeout: time.Minute})
	body, err := json.Marshal(map[string]string{"id": c.ID})
	if err != nil {
		return engine.Backup{}, err
	}
	method, path := http.MethodPost, "/v1/backups"
	for {
		_, answer, err := cl.Do(ctx.Ctx, method, path, "application/json", body)
		if err != nil {
			return engine.Backup{}, err
		}
		var b backupAnswer
		if err := json.Unmarshal(answer, &b); err != nil {
			return engine.Backup{}, fmt.Errorf("the server's answer: %w", err)
		}
		switch b.State {
		case engine.BackupDone:
			return b.Backup, nil
		case engine.BackupFailed:
			return b.Backup, fmt.Errorf("backup %s failed: %s", c.ID, b.Error)
		}
		progress.tell(b.FilesDone, b.FilesTotal)
		method, path, body = http.MethodGet, "/v1/backups/"+url.PathEscape(c.ID), nil
		select {
		case <-ctx.Ctx.Done():
			return b.Backup, errors.New("interrupted; the server goes on with the backup")
		case <-time.After(askEvery):
		}
	}
}

// backupWait is how long a request waits for its backup before it is answered 202.
const backupWait = 20 * time.Second

// backupSlot is who makes backups as HTTP sees it, from before the ledger is open.
type backupSlot struct {
	backups atomic.Pointer[engine.Backups] // set once
}

var _ httpapi.Backups = (*backupSlot)(nil)

func (s *backupSlot) get() (*engine.Backups, *refusal.Refusal) {
	if b := s.backups.Load(); b != nil {
		return b, nil
	}
	return nil, replaying()
}

// Start implements httpapi.Backups.
func (s *backupSlot) Start(id string) (out engine.Backup, created bool, no *refusal.Refusal) {
	b, no := s.get()
	if no != nil {
		return out, false, no
	}
	return b.Start(id, backupWait)
}

// Get implements httpapi.Backups.
func (s *backupSlot) Get(id string) (engine.Backup, *refusal.Refusal) {
	b, no := s.get()
	if no != nil {
		return engine.Backup{}, no
	}
	return b.Get(id)
}

// List implements httpapi.Backups.
func (s *backupSlot) List(cursor string, limit int) ([]engine.Backup, bool, *refusal.Refusal) {
	b, no := s.get()
	if no != nil {
		return nil, false, no
	}
	return b.List(cursor, limit)
}

// close ends a backup under way.
func (s *backupSlot) close() {
	if b := s.backups.Load(); b != nil {
		b.Close()
	}
}

// backupFlags say where a server puts backups.
type backupFlags struct {
	BackupDir  string `help:"Let POST /v1/backups make copies of the ledger in this directory, outside of the data directory. On the disk of the data they are hard links: made in moments, and gone with that disk." placeholder:"DIR"`
	BackupCopy bool   `help:"Make backups of full copies, without hard links."`
}

// open makes the directory and lets backups be made.
func (f *backupFlags) open(e *engine.Engine, slot *backupSlot) error {
	if f.BackupDir == "" {
		return nil
	}
	b, err := e.OpenBackups(f.BackupDir, !f.BackupCopy)
	if err != nil {
		return fmt.Errorf("--backup-dir: %w", err)
	}
	slot.backups.Store(b)
	return nil
}
