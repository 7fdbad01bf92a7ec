package engine

import (
	"fmt"
	"time"

	"github.com/cockroachdb/datadriven"

	"farthing/meter"
)

func dimensionsText(dims []meter.Dimension) string {
	out := ""
	for _, d := range dims {
		out += " " + d.Key + "=" + d.Value
	}
	return out
}

func (s *scenario) usage(_ *datadriven.TestData, args []string) string {
	rows, seq, refused := s.r.e.Usage(args[0], time.Time{}, time.Time{})
	if refused != nil {
		return refusedText(refused)
	}
	out := ""
	for _, row := range rows {
		out += fmt.Sprintf("%s %s%s: %d events", row.Day.Format(time.DateOnly), row.Meter, dimensionsText(row.Dimensions), row.Events)
		for _, c := range row.Components {
			out += fmt.Sprintf(", %s %s = %s", c.Quantity, c.Name, c.Amount)
		}
		out += fmt.Sprintf(" %s\n", row.Currency)
	}
	return out + fmt.Sprintf("as of %d", seq)
}

func (s *scenario) trialBalance(*datadriven.TestData, []string) string {
	books, refused := s.r.e.TrialBalance()
	if refused != nil {
		return refusedText(refused)
	}
	out := ""
	for _, b := range books {
		out += fmt.Sprintf("%s: debits %s, credits %s\n", b.Currency, b.Debits, b.Credits)
		if b.Debits != b.Credits {
			s.t.Errorf("%s does not balance", b.Currency)
		}
		for _, c := range b.Classes {
			out += fmt.Sprintf("  %-10s %s %s\n", c.Class, c.Debits, c.Credits)
		}
	}
	return out
}

func (s *scenario) unpriced(*datadriven.TestData, []string) string {
	out, cursor, n := "", "", 0
	for {
		page, refused := s.r.e.Unpriced(cursor, 2)
		if refused != nil {
			return refusedText(refused)
		}
		for _, e := range page.Items {
			n++
			out += fmt.Sprintf("%d %s/%s of %s, %s%s: %s\n", e.Sequence, e.Source, e.ID, e.Subject, e.Type, dimensionsText(e.Dimensions), e.Reason)
			if e.Now != e.Reason {
				out += "  now: " + e.Now + "\n"
			}
		}
		if cursor = page.Next; cursor == "" {
			return out + fmt.Sprintf("%d unpriced\n", n) + s.unpricedCounts()
		}
	}
}

func (s *scenario) tables(*datadriven.TestData, []string) string {
	st := s.r.e.Stats()
	return fmt.Sprintf("%d accounts, %d shapes, %d sources, %d price versions, %d windows", st.Accounts, st.Shapes, st.Sources, st.PriceVersions, st.Windows)
}

func (s *scenario) clock(_ *datadriven.TestData, args []string) string {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		s.t.Fatal(err)
	}
	s.r.base = s.r.base.Add(d)
	s.r.reopen()
	return s.r.base.Format(time.RFC3339)
}

func (s *scenario) restart(*datadriven.TestData, []string) string {
	s.r.reopen()
	return s.marks()
}

func (s *scenario) verify(*datadriven.TestData, []string) string {
	s.r.close()
	defer s.r.open()
	r, err := Verify(VerifyOptions{Journal: s.r.o.Journal})
	if err != nil {
		s.t.Error(err)
	}
	return fmt.Sprintf("%d sequences, %d events, %d unpriced, %d accounts, %d windows, %d batches, %d lines",
		r.Sequences, r.Events, r.Unpriced, r.Accounts, r.Windows, r.Batches, r.Lines)
}
