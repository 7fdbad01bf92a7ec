package engine

import "farthing/journal"

// storage is what the engine needs of the journal's store, which is the only one in production
// (onDisk). A simulation has a model of it; each method promises what that of journal.Store
// says.
type storage interface {
	// The history: one goroutine commits, all others read what is durable.
	Commit(g *journal.Group) error
	Head() journal.Head
	BlockAt(seq uint64) (*journal.Block, error)
	Blocks(from uint64, fn func(*journal.Block) error) error

	// What was dropped of the history.
	Base() journal.Base
	BaseAt(through uint64) (journal.Base, error)
	DropBlocks(through uint64) (freed uint64, err error)

	// Mutable rows.
	Write(rows []journal.Row, sync bool) error
	Get(space journal.Space, key []byte) ([]byte, bool, error)
	Scan(space journal.Space, lo, hi []byte, fn func(key, value []byte) (more bool, err error)) error

	// Immutable tables, which the markers written with them make valid.
	NewTable(kind journal.Kind, id uint64) (table, error)
	Ingest(tables []table, markers []journal.Row) error
	DropTable(kind journal.Kind, id uint64) error
	Tables(kind journal.Kind) ([]uint64, error)
	TableScan(kind journal.Kind, id uint64, lo, hi []byte, fn func(key, value []byte) (more bool, err error)) error

	Metrics() journal.Metrics
	Health() journal.Health
	DiskSpace() (free, total uint64, known bool, err error)
	Close() error
}

// table is a table that is being built. It ends with Ingest or Abort.
type table interface {
	Add(key, value []byte) error
	Abort() error
}

// onDisk is the journal's store with its tables behind the interface.
type onDisk struct{ *journal.Store }

// NewTable is journal.Store.NewTable.
func (d onDisk) NewTable(kind journal.Kind, id uint64) (table, error) {
	t, err := d.Store.NewTable(kind, id)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Ingest is journal.Store.Ingest of tables that came from NewTable.
func (d onDisk) Ingest(tables []table, markers []journal.Row) error {
	built := make([]*journal.TableBuilder, len(tables))
	for i, t := range tables {
		built[i] = t.(*journal.TableBuilder)
	}
	return d.Store.Ingest(built, markers)
}
