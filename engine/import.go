package engine

import (
	"cmp"
	"errors"
	"fmt"

	"farthing/journal"
)

// Importer makes a ledger from exported history. Whoever calls it has compared the blocks with the commands they were exported as; it
// sees to it that the ledger is whole, and equal to the one that was exported: Verify, which derives every balance anew, is part of it.
// It belongs to one goroutine.
type Importer struct {
	stage    *journal.Stage
	in       *journal.Import
	rows     []journal.Row
	rowBytes int
}

// importRowBytes is how many bytes of rows go into one write.
const importRowBytes = 1 << 20

// NewImporter begins in a data directory that is absent or empty. End with Finish or Abort.
func NewImporter(o journal.Options) (*Importer, error) {
	stage, err := journal.NewStage(o)
	if err != nil {
		return nil, err
	}
	in, err := journal.NewImport(stage.Options())
	if err != nil {
		return nil, errors.Join(err, stage.Discard())
	}
	return &Importer{stage: stage, in: in}, nil
}

// Block appends a block; its hash and that of its predecessor have to agree.
func (i *Importer) Block(b *journal.Block) error { return i.in.Block(b) }

// Row adds a stored row.
func (i *Importer) Row(r *ExportedRow) error {
	row, err := r.stored()
	if err != nil {
		return err
	}
	row.Key, row.Value = append([]byte(nil), row.Key...), append([]byte(nil), row.Value...)
	i.rows = append(i.rows, row)
	if i.rowBytes += len(row.Key) + len(row.Value); i.rowBytes < importRowBytes {
		return nil
	}
	return i.writeRows()
}

func (i *Importer) writeRows() error {
	err := i.in.Rows(i.rows)
	i.rows, i.rowBytes = i.rows[:0], 0
	return err
}

// Finish completes the ledger, derives everything in it anew, and puts it in its place. On an error nothing is there.
func (i *Importer) Finish(progress func(done, total uint64)) (VerifyReport, error) {
	report, err := i.finish(progress)
	if err != nil {
		return report, errors.Join(err, i.stage.Discard())
	}
	return report, i.stage.Publish()
}

func (i *Importer) finish(progress func(done, total uint64)) (VerifyReport, error) {
	head := i.in.Head()
	if err := cmp.Or(i.writeRows(), i.in.Finish()); err != nil {
		return VerifyReport{}, err
	}
	if err := i.derive(); err != nil {
		return VerifyReport{}, err
	}
	report, err := Verify(VerifyOptions{Journal: i.stage.Options(), Progress: progress})
	if err == nil && report.Head != hexID(head.Hash) {
		err = fmt.Errorf("the ledger ends with hash %s, the import with %s", report.Head, hexID(head.Hash))
	}
	return report, err
}

// Abort gives up and removes what is there.
func (i *Importer) Abort() error { return errors.Join(i.in.Abort(), i.stage.Discard()) }

// derive replays the new ledger once, passively: nothing is booked. Tiles of the window that is open are written.
func (i *Importer) derive() error {
	store, err := journal.Open(i.stage.Options())
	if err != nil {
		return err
	}
	o := Options{Journal: i.stage.Options()}
	o.ensureDefaults()
	_, _, err = newEngine(o, onDisk{store}, newHealth(&o)).recover()
	return errors.Join(err, store.Close())
}
