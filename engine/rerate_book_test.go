package engine

import (
	"fmt"
	"testing"
)

// TestRerateKeepsItsBook puts a version between the beginning of a rerate and its work: which
// events are the rerate's own was decided when it began, so all that was previewed is posted.
func TestRerateKeepsItsBook(t *testing.T) {
	r := standard(t, nil)
	price := func(id, from, unit string) {
		r.prices(id, fmt.Sprintf(`{"effective_from":%q,"prices":[{"meter":"m","currency":"USD","match":{},"components":{"u":%s}}]}`, from, unit))
	}
	price("w1", "2026-10-01T00:00:00Z", `{"graduated":[{"up_to":"100","unit":"1"},{"unit":"2"}]}`)
	for i := range 3 {
		var calls []call
		for k := range 100 {
			calls = append(calls, call{source: "gw", id: fmt.Sprintf("e%d-%d", i, k), subject: "acme", kind: "m", usage: [][2]string{{"u", "1"}}})
		}
		r.post(calls...)
	}
	price("w2", "2026-10-02T00:00:00Z", `"3"`)
	preview, refused := r.e.PreviewRerate(RepriceOptions{Version: "w2"})
	if refused != nil || preview.Events != 300 {
		t.Fatalf("preview: %+v %v", preview, refused)
	}
	r.e.internal(func(s *sequencer) { // begun, and the repricer not told
		job := &rerateJob{id: "r", version: s.state.byVersion["w2"].Version.Index, to: timeMax}
		s.command(kindRerate, job.append(nil))
		s.state.applyRerate(job)
	})
	price("w3", "2026-10-03T00:00:00Z", `"5"`)
	r.e.repriced()
	got, refused := r.e.RerateStatus("r")
	if refused != nil || got.State != "done" || got.Events != 300 || len(got.Totals) != 1 || got.Totals[0].Charged.String() != "900" {
		t.Fatalf("rerate: %+v %v", got, refused)
	}
	if posted := r.posted("acme"); posted != "-900" {
		t.Fatalf("posted %s, 300 events at 3 make -900", posted)
	}
	r.reopen()
	if again, _ := r.e.RerateStatus("r"); fmt.Sprint(again) != fmt.Sprint(got) {
		t.Fatalf("after a restart the rerate is %+v, was %+v", again, got)
	}
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
}
