package httpapi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func gzipOf(t testing.TB, parts ...string) string {
	t.Helper()
	var b bytes.Buffer
	for _, part := range parts { // a member each
		w := gzip.NewWriter(&b)
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func zstdOf(t testing.TB, text string, o ...zstd.EOption) string {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, o...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// spaces compresses about a thousandfold and parses as nothing.
func spaces(n int) string { return strings.Repeat(" ", n) }

func TestCompressedBodies(t *testing.T) {
	r := newRig(t, Options{})
	f := func(encoding, body string, status int, code string) reply {
		t.Helper()
		got := r.do("POST", "/v1/events", "application/json", body, "Content-Encoding: "+encoding)
		got.want(t, status, code)
		return got
	}
	events := "[" + with() + "," + with("id", `"other"`) + "]"
	for _, enc := range []string{"gzip", "GZIP", "x-gzip"} {
		if got := f(enc, gzipOf(t, events), 200, ""); !strings.Contains(got.body, `"accepted":2`) {
			t.Error(got.body)
		}
	}
	f("zstd", zstdOf(t, events), 200, "")
	f("zstd", zstdOf(t, "["+with())+zstdOf(t, "]"), 200, "") // frames are one body
	f("identity", events, 200, "")
	f("", events, 200, "")

	for _, enc := range []string{"br", "deflate", "gzip, zstd", "gzip, gzip", "gzip,identity", "gzip;q=1", "x"} {
		if got := f(enc, gzipOf(t, events), 415, "unsupported_type"); got.header.Get("Accept-Encoding") != encodingsRead {
			t.Error(got.header)
		}
	}
	r.do("POST", "/v1/events", "application/json", gzipOf(t, events), "Content-Encoding: gzip", "Content-Encoding: gzip").want(t, 415, "unsupported_type")

	// What is not whole, or more than whole.
	g, z := gzipOf(t, events), zstdOf(t, events)
	f("gzip", "", 400, "malformed")
	f("gzip", events, 400, "malformed")
	f("gzip", g[:len(g)-1], 400, "malformed")
	f("gzip", g[:5], 400, "malformed")
	f("gzip", g+"x", 400, "malformed")
	f("gzip", gzipOf(t, events, ""), 400, "malformed")
	f("gzip", g[:len(g)-8]+"\x00\x00\x00\x00"+g[len(g)-4:], 400, "malformed") // its checksum
	f("zstd", "", 400, "malformed")
	f("zstd", events, 400, "malformed")
	f("zstd", z[:len(z)-1], 400, "malformed")
	f("zstd", z+"x", 400, "malformed")
	f("zstd", g, 400, "malformed")

	// A cold route has its own limit, for what comes out.
	r.do("POST", "/v1/accounts", "application/json", gzipOf(t, `{"id":"a","currency":"USD","kind":"provider"}`), "Content-Encoding: gzip").want(t, 201, "")
	r.do("POST", "/v1/accounts", "application/json", gzipOf(t, spaces(coldBodyMaxBytes+1)), "Content-Encoding: gzip").want(t, 413, "too_large")
	r.do("POST", "/v1/accounts", "application/json", zstdOf(t, spaces(coldBodyMaxBytes+1)), "Content-Encoding: zstd").want(t, 413, "too_large")
}

// TestBombs has bodies that come to very much more than they are.
func TestBombs(t *testing.T) {
	r := newRig(t, Options{})
	f := func(encoding, body string, status int, code string) {
		t.Helper()
		r.engine.mu.Lock()
		r.engine.budgets = nil
		r.engine.mu.Unlock()
		c := r.dial()
		c.send(requestText("POST", "/v1/events", "application/json", body, "Content-Encoding: "+encoding))
		got := c.receive("POST")
		got.want(t, status, code)
		c.send(requestText("GET", "/healthz", "", "")) // the connection is as good as before
		next := c.receive("GET")
		next.want(t, 200, "")
		for _, n := range r.engine.budgets {
			if n > BodyMaxBytes+len(body) {
				t.Errorf("a budget of %d was taken", n)
			}
		}
	}
	exact := "[" + with() + "]"
	exact += spaces(BodyMaxBytes - len(exact))
	f("gzip", gzipOf(t, exact), 200, "")
	f("gzip", gzipOf(t, exact+" "), 413, "too_large")
	f("gzip", gzipOf(t, spaces(32<<20)), 413, "too_large")
	f("zstd", zstdOf(t, exact), 200, "")
	f("zstd", zstdOf(t, exact+" "), 413, "too_large")
	f("zstd", zstdOf(t, spaces(64<<20)), 413, "too_large")
	// A window of 32 MiB, and a frame that declares more than may be.
	f("zstd", zstdOf(t, spaces(20<<20), zstd.WithWindowSize(32<<20)), 413, "too_large")
	frame := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, binary.LittleEndian.AppendUint64(nil, 1<<40)...)
	f("zstd", string(frame)+"\x01\x00\x00", 413, "too_large")
	// Skippable frames come to nothing, however many; the compressed body is bounded itself.
	f("zstd", strings.Repeat("\x50\x2a\x4d\x18\x00\x00\x00\x00", 100_000), 400, "malformed")

	c := r.dial()
	c.send(eventsHead + "Content-Encoding: gzip\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n", BodyMaxBytes+1) + spaces(readAheadBytes))
	got := c.receive("POST")
	got.want(t, 413, "too_large")

	// No room for what comes out.
	r.engine.mu.Lock()
	r.engine.room = 1
	r.engine.mu.Unlock()
	c = r.dial()
	c.send(requestText("POST", "/v1/events", "application/json", gzipOf(t, exact), "Content-Encoding: gzip"))
	got = c.receive("POST")
	got.want(t, 429, "overloaded")
}

// TestBombsTakeLittle posts many bombs at once.
func TestBombsTakeLittle(t *testing.T) {
	r := newRig(t, Options{})
	bomb := requestText("POST", "/v1/events", "application/json", zstdOf(t, spaces(32<<20)), "Content-Encoding: zstd") +
		requestText("POST", "/v1/events", "application/json", gzipOf(t, spaces(32<<20)), "Content-Encoding: gzip")
	h := r.startHonest()
	before := settledMemory()
	var all []*conn
	for range 20 {
		c := r.dial()
		c.send(bomb)
		all = append(all, c)
	}
	for _, c := range all {
		for range 2 {
			got := c.receive("POST")
			got.want(t, 413, "too_large")
		}
	}
	h.done(soakLatency)
	if held := memory() - before; held > 64<<20 {
		t.Errorf("%d bytes are held", held)
	}
}

// FuzzDecode: whatever comes in, no more comes out than may, the budget is taken before
// that, and what was compressed comes back.
func FuzzDecode(f *testing.F) {
	text := "[" + with() + "]"
	for _, how := range []byte{1, 2} {
		f.Add(how, []byte(text))
		f.Add(how, []byte{})
	}
	f.Add(byte(1), []byte(gzipOf(f, text, text)))
	f.Add(byte(1), []byte(gzipOf(f, spaces(300_000))))
	f.Add(byte(2), []byte(zstdOf(f, text)))
	f.Add(byte(2), []byte(zstdOf(f, spaces(300_000))))
	d := newUnpackers()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, how byte, body []byte) {
		const limit = 200_000
		enc := encoding(how%2 + 1)
		run := func(body []byte) ([]byte, error) {
			taken := 1000
			var buffer []byte
			out, err := d.decode(enc, body, &buffer, taken, limit, func(n int) bool {
				if n <= taken || n > limit {
					t.Fatalf("asked for %d after %d", n, taken)
				}
				taken = n
				return true
			})
			if len(out) > taken || cap(buffer) > taken+1 {
				t.Fatalf("%d bytes in %d for a budget of %d", len(out), cap(buffer), taken)
			}
			return out, err
		}
		_, _ = run(body)
		if len(body) > limit {
			return
		}
		packed := z.EncodeAll(body, nil)
		if enc == gzipped {
			packed = []byte(gzipOf(t, string(body)))
		}
		out, err := run(packed)
		if len(packed) == 0 { // the library makes nothing of nothing
			return
		}
		if err != nil || !bytes.Equal(out, body) {
			t.Fatalf("%q came back as %q, %v", body, out, err)
		}
	})
}
