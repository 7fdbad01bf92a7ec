package httpapi

import (
	"strings"
	"testing"

	"farthing/engine"
	"farthing/refusal"
)

// fakeBackups makes backups at once, or never ends.
type fakeBackups struct {
	all   []engine.Backup
	state string // of the next one
}

func (f *fakeBackups) Start(id string) (engine.Backup, bool, *refusal.Refusal) {
	if b, no := f.Get(id); no == nil {
		return b, false, nil
	}
	if !engine.ValidBackupID(id) {
		return engine.Backup{}, false, refusal.New(refusal.Invalid, "invalid_id", "no")
	}
	f.all = append(f.all, engine.Backup{ID: id, State: f.state, Ledger: "l", Time: someTime, Sequence: 7, Hash: strings.Repeat("ab", 32), Files: 3, Bytes: 9, Done: 1, Total: 3})
	return f.all[len(f.all)-1], true, nil
}

func (f *fakeBackups) Get(id string) (engine.Backup, *refusal.Refusal) {
	for _, b := range f.all {
		if b.ID == id {
			return b, nil
		}
	}
	return engine.Backup{}, refusal.New(refusal.NotFound, "unknown_backup", "no")
}

func (f *fakeBackups) List(cursor string, limit int) (out []engine.Backup, more bool, no *refusal.Refusal) {
	for _, b := range f.all {
		if b.ID > cursor && len(out) == limit {
			return out, true, nil
		}
		if b.ID > cursor {
			out = append(out, b)
		}
	}
	return out, false, nil
}

func TestBackups(t *testing.T) {
	made := &fakeBackups{state: engine.BackupDone}
	r := newRig(t, Options{Backups: made})
	f := func(method, path, body string, status int, want string) {
		t.Helper()
		got := r.do(method, path, "application/json", body)
		if got.status != status || !strings.Contains(got.body, want) {
			t.Errorf("%s %s %s: %d %s", method, path, body, got.status, got.body)
		}
	}
	f("POST", "/v1/backups", `{"id":"a"}`, 201, `"sequence":7`)
	f("POST", "/v1/backups", `{"id":"a"}`, 200, `"state":"done"`)
	f("GET", "/v1/backups/a", "", 200, `"bytes":9`)
	f("GET", "/v1/backups/b", "", 404, "unknown_backup")
	made.state = engine.BackupRunning
	f("POST", "/v1/backups", `{"id":"b"}`, 202, `"files_done":1`)
	f("GET", "/v1/backups/b", "", 200, `"sequence":null`)
	made.all[1].State, made.all[1].Error = engine.BackupFailed, "full"
	f("GET", "/v1/backups", "", 200, `"error":"full"`)
	f("GET", "/v1/backups?limit=1", "", 200, `"next":"a"`)
	f("POST", "/v1/backups", `{"id":"..%2f"}`, 422, "invalid_id")
	f("POST", "/v1/backups", `{"id":"../up"}`, 422, "invalid_id")
	f("POST", "/v1/backups", `{"id":"a","dir":"x"}`, 422, "")
	f("POST", "/v1/backups", `{}`, 422, "")

	none := newRig(t, Options{})
	if got := none.do("POST", "/v1/backups", "application/json", `{"id":"a"}`); got.status != 404 || !strings.Contains(got.body, "no_backups") {
		t.Errorf("without a directory: %d %s", got.status, got.body)
	}
}
