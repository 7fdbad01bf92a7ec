package httpapi

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
)

// FuzzTarget holds parse against a plain reading: split, then unescape by net/url.
func FuzzTarget(f *testing.F) {
	for _, text := range []string{"/", "", "*", "/v1/accounts/a%2Fb", "/v1/accounts/%2e%2E/..", "http://h/v1/a?b", "//a//", "/a%", "/a%zz",
		"/a%00", "/%c0%ae", "/a#b", "/a b", "https://", "HTTP://x?y/z", "/a?b?c#d", strings.Repeat("/a", 20), "/v1/%252e"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got target
		ok := got.parse(bytes.Clone(raw))
		text := string(raw)
		for _, scheme := range []string{"http://", "https://"} {
			if len(text) > len(scheme) && strings.EqualFold(text[:len(scheme)], scheme) {
				rest := text[len(scheme):]
				if i := strings.IndexAny(rest, "/?"); i >= 0 && rest[i] == '/' {
					text = rest[i:]
				} else {
					text = ""
				}
				break
			}
		}
		bad := bytes.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' })
		path, query, _ := strings.Cut(text, "?")
		var want []string
		if strings.HasPrefix(path, "/") {
			for _, segment := range strings.Split(path[1:], "/") {
				decoded, err := url.PathUnescape(segment)
				bad = bad || err != nil
				want = append(want, decoded)
			}
		}
		if ok == bad {
			t.Fatalf("%q: accepted %v", raw, ok)
		}
		if !ok {
			return
		}
		if got.n != len(want) || string(got.query) != query {
			t.Fatalf("%q: %d segments and %q, want %d and %q", raw, got.n, got.query, len(want), query)
		}
		for i := range min(got.n, segmentsMax) {
			if string(got.segments[i]) != want[i] {
				t.Fatalf("%q: segment %d is %q, want %q", raw, i, got.segments[i], want[i])
			}
		}
	})
}
