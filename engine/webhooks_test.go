package engine

import (
	"errors"
	"fmt"
	"testing"

	"farthing/journal"
)

// endpointsOf lists what the store has, in order.
func endpointsOf(t *testing.T, r *rig) string {
	t.Helper()
	text := ""
	err := r.e.Webhooks().Load(func(id string, registry, progress []byte) error {
		text += fmt.Sprintf("%s=%s,%s ", id, registry, progress)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestWebhooksStore walks endpoints through their life, with restarts in between.
func TestWebhooksStore(t *testing.T) {
	r := standard(t, nil)
	w := r.e.Webhooks()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(text string) {
		t.Helper()
		if got := endpointsOf(t, r); got != text {
			t.Errorf("%q, want %q", got, text)
		}
	}
	want("")
	do(w.Save("b", []byte("r1"), []byte("p1")))
	do(w.Save("a/d", []byte("r2"), []byte("p2")))
	do(w.Save("b", []byte("r3"), []byte("p3")))
	do(w.Advance("b", []byte("p4")))
	want("a/d=r2,p2 b=r3,p4 ")
	r.reopen()
	w = r.e.Webhooks()
	want("a/d=r2,p2 b=r3,p4 ")
	do(w.Delete("b"))
	do(w.Delete("never"))
	r.reopen()
	want("a/d=r2,p2 ")
	stop := errors.New("stop")
	if err := r.e.Webhooks().Load(func(string, []byte, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	// An endpoint without its position is not taken for one at the start.
	do(r.e.store.Write([]journal.Row{{Space: journal.SpaceWebhooks, Key: webhookKey(progressRow, "a/d"), Delete: true}}, true))
	if err := r.e.Webhooks().Load(func(string, []byte, []byte) error { return nil }); err == nil {
		t.Error("an endpoint without a position was loaded")
	}
}

// TestWebhooksAfterClose: the store says that it is gone instead of touching what is closed.
func TestWebhooksAfterClose(t *testing.T) {
	r := standard(t, nil)
	w := r.e.Webhooks()
	if err := r.e.Close(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"load": w.Load(nil), "save": w.Save("a", nil, nil), "advance": w.Advance("a", nil), "delete": w.Delete("a"),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
