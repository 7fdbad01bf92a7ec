package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"farthing/bench/client"
	"farthing/internal/postgrestest"
)

// checkTables has both example consumers apply the topic, and holds their tables against the oracle and each other.
func (o *settlementOracle) checkTables(ctx context.Context, t *testing.T, broker string, signing *signing, records int) {
	postgres := postgrestest.Start(t)
	programs := newPrograms(ctx, t, t.TempDir(), postgres)
	for _, p := range programs {
		if err := postgres.CreateDatabase(ctx, p.name); err != nil {
			t.Fatal(err)
		}
		p.args = []string{"--brokers", broker, "--public-keys", strings.Join(signing.public, ",")}
		p.start(t, false)
	}
	var tables []string
	for _, p := range programs {
		eventually(ctx, t, p.name+" has applied everything", func() bool {
			got, err := postgres.Query(ctx, p.name, "SELECT stream_seq FROM stream")
			return err == nil && got == fmt.Sprint(records)
		})
		if err := p.kill(); err != nil {
			t.Error(err)
		}
		for _, b := range o.batches {
			for _, fault := range b.tableFaults(p.query(ctx, t, fmt.Sprintf(tableLines, b.id))) {
				t.Errorf("%s: %v", p.name, fault)
			}
		}
		if got := p.query(ctx, t, "SELECT count(*) FROM batch"); got != fmt.Sprint(len(o.batches)) {
			t.Errorf("%s: %s batches, want %d", p.name, got, len(o.batches))
		}
		tables = append(tables, dump(ctx, t, p))
	}
	if tables[0] != tables[1] {
		t.Errorf("%s and %s have different tables", programs[0].name, programs[1].name)
	}
}

// tableLines has the database write a batch's lines as lineText does.
const tableLines = `SELECT format('%%s %%s %%s %%s: in %%s + returned %%s + %%s - %%s, out %%s, %%s events', line, account, direction, trim_scale(amount),
	trim_scale(carried_in), trim_scale(returned), trim_scale(gross_credits), trim_scale(gross_debits), trim_scale(carried_out), events)
	FROM settled_line WHERE batch_id = '%s' ORDER BY line`

// tableFaults holds a batch's lines in a table against the oracle's.
func (b *settledBatch) tableFaults(table string) (faults []error) {
	got := strings.Split(table, "\n")
	if len(got) != len(b.lines) {
		faults = append(faults, fmt.Errorf("window %d %s: %d lines, want %d", b.window, b.currency, len(got), len(b.lines)))
	}
	for i := range min(len(got), len(b.lines)) {
		if want := lineText(b.lines[i].Line); got[i] != want {
			faults = append(faults, fmt.Errorf("window %d %s: a line is\n\t%s, want\n\t%s", b.window, b.currency, got[i], want))
		}
	}
	return faults
}

// TestTableFaults plants each kind of error in a table that is right.
func TestTableFaults(t *testing.T) {
	b := &settledBatch{window: 1, currency: "USD"}
	var right []string
	for i := range 3 {
		l := settledLine{Line: client.Line{Line: i + 1, Account: fmt.Sprint("a-", i), Direction: "pay", Amount: client.M("1.5")}}
		b.lines = append(b.lines, &l)
		right = append(right, lineText(l.Line))
	}
	changed := append([]string{}, right...)
	changed[1] = strings.Replace(changed[1], "1.5", "1.6", 1)
	for name, row := range map[string]struct {
		table []string
		want  int
	}{
		"right": {right, 0}, "a line is missing": {right[:2], 1}, "one too many": {append(right[:3:3], right[0]), 1}, "an amount": {changed, 1},
	} {
		if got := b.tableFaults(strings.Join(row.table, "\n")); len(got) != row.want {
			t.Errorf("%s: %v, want %d faults", name, got, row.want)
		}
	}
}
