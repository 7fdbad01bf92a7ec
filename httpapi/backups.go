package httpapi

import (
	"farthing/engine"
	"farthing/refusal"
)

// Backups is what the server needs from who makes copies of the ledger. Its methods may be called by many goroutines at once.
type Backups interface {
	// Start begins the backup of an id, or finds it, and returns how it stands: done, or running when it takes long.
	Start(id string) (b engine.Backup, created bool, no *refusal.Refusal)
	Get(id string) (engine.Backup, *refusal.Refusal)
	// List returns those with ids above the cursor, sorted by id.
	List(cursor string, limit int) (page []engine.Backup, more bool, no *refusal.Refusal)
}

func backupRoutes() []route {
	return []route{
		{method: "POST", pattern: "/v1/backups", scope: ScopeAdmin, bodyMax: coldBodyMaxBytes, handle: (*Server).postBackup},
		{method: "GET", pattern: "/v1/backups", scope: ScopeAdmin, long: true, handle: (*Server).getBackups},
		{method: "GET", pattern: "/v1/backups/{id}", scope: ScopeAdmin, handle: (*Server).getBackup},
	}
}

// backups returns who makes backups, or refuses on a server without.
func (s *Server) backups() (Backups, *refusal.Refusal) {
	if s.options.Backups == nil {
		return nil, refusal.New(refusal.NotFound, "no_backups", "this server was started without --backup-dir")
	}
	return s.options.Backups, nil
}

func (s *Server) postBackup(c *call) (answer, *refusal.Refusal) {
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	o.only("id")
	id := o.requireID("id")
	if o.no != nil {
		return answer{}, o.no
	}
	b, no := s.backups()
	if no != nil {
		return answer{}, no
	}
	made, created, no := b.Start(id)
	if no != nil {
		return answer{}, no
	}
	status := createdStatus(created)
	if made.State == engine.BackupRunning {
		status = 202
	}
	return answer{status, backupView(&made)}, nil
}

func (s *Server) getBackup(c *call) (answer, *refusal.Refusal) {
	id, no := c.idOnly()
	if no != nil {
		return answer{}, no
	}
	b, no := s.backups()
	if no != nil {
		return answer{}, no
	}
	found, no := b.Get(id)
	if no != nil {
		return answer{}, no
	}
	return answer{200, backupView(&found)}, nil
}

func (s *Server) getBackups(c *call) (answer, *refusal.Refusal) {
	q := c.query("limit", "cursor")
	cursor, limit := q.page()
	if q.no != nil {
		return answer{}, q.no
	}
	b, no := s.backups()
	if no != nil {
		return answer{}, no
	}
	page, more, no := b.List(cursor, limit)
	if no != nil {
		return answer{}, no
	}
	out := list{Items: make([]any, 0, len(page))}
	for i := range page {
		out.Items = append(out.Items, backupView(&page[i]))
	}
	if more {
		out.Next = page[len(page)-1].ID
	}
	return answer{200, out}, nil
}

// backupJSON names no paths: where backups are is the operator's to know.
type backupJSON struct {
	ID        string  `json:"id"`
	State     string  `json:"state"`
	Ledger    string  `json:"ledger"`
	Partition uint32  `json:"partition"`
	Time      string  `json:"time"`
	Sequence  *uint64 `json:"sequence"`
	Hash      *string `json:"hash"`
	Files     *uint64 `json:"files"`
	Bytes     *uint64 `json:"bytes"`

	FilesDone  *uint64 `json:"files_done,omitempty"`
	FilesTotal *uint64 `json:"files_total,omitempty"`
	Error      string  `json:"error,omitempty"`
}

func backupView(b *engine.Backup) backupJSON {
	v := backupJSON{ID: b.ID, State: b.State, Ledger: b.Ledger, Partition: b.Partition, Time: timeText(b.Time), Error: b.Error}
	switch b.State {
	case engine.BackupDone:
		v.Sequence, v.Hash, v.Files, v.Bytes = &b.Sequence, &b.Hash, &b.Files, &b.Bytes
	case engine.BackupRunning:
		v.FilesDone, v.FilesTotal = &b.Done, &b.Total
	}
	return v
}
