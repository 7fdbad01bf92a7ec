package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"farthing/refusal"
)

// Bounds of an endpoint.
const (
	urlBytesMax   = 2048
	typesMax      = 32
	typeBytesMax  = 64
	errorBytesMax = 500
	// NumberMax bounds the number to start after: it is a JSON number.
	NumberMax = 1<<53 - 1
)

// Spec asks for an endpoint.
type Spec struct {
	ID  string
	URL string
	// Types are the types it wants; empty: all.
	Types []string
	// Secret signs its deliveries; nil: one is drawn.
	Secret Secret
	// From is the number to start after; nil: the newest there is.
	From *uint64
}

// Endpoint is an endpoint as it stands.
type Endpoint struct {
	ID       string
	URL      string
	Secret   Secret
	Types    []string // sorted; empty: all
	From     uint64   // number that it started after
	Created  time.Time
	Disabled bool

	Delivered   uint64 // last number that is delivered or of a type that it does not want
	Failures    int    // of the notification after Delivered, in a row
	LastError   string // of the last failure, kept after a success; empty: none
	LastErrorAt time.Time
	NextAttempt time.Time // zero: at once
}

// wants says whether the endpoint asked for a type.
func (e *Endpoint) wants(kind string) bool {
	return len(e.Types) == 0 || slices.Contains(e.Types, kind)
}

// isWhat says whether a request for an endpoint that exists asks for this one. What it leaves out is not compared.
func (e *Endpoint) isWhat(s *Spec) bool {
	return e.URL == s.URL && slices.Equal(e.Types, s.Types) &&
		(s.Secret == nil || s.Secret.equal(e.Secret)) && (s.From == nil || *s.From == e.From)
}

// check refuses what no endpoint can be, and sorts the types.
func (s *Spec) check(o *Options) *refusal.Refusal {
	if no := checkURL(s.URL, o.AllowPrivate); no != nil {
		return no
	}
	slices.Sort(s.Types)
	if len(s.Types) > typesMax || len(slices.Compact(slices.Clone(s.Types))) < len(s.Types) {
		return refusal.New(refusal.Invalid, "invalid_types", "types must be at most %d different ones", typesMax)
	}
	for _, kind := range s.Types {
		known := len(o.Types) == 0 || slices.Contains(o.Types, kind)
		if !known || kind == "" || len(kind) > typeBytesMax {
			return refusal.New(refusal.Invalid, "unknown_type", "types must be of: %s", strings.Join(o.Types, ", "))
		}
	}
	return checkNumber(s.From)
}

func checkNumber(from *uint64) *refusal.Refusal {
	if from != nil && *from > NumberMax {
		return refusal.New(refusal.Invalid, "invalid_number", "from must be at most %d", uint64(NumberMax))
	}
	return nil
}

// checkURL refuses what can be seen in a URL. Where its name leads is looked at when it is dialled. The refusals do not
// repeat the URL, which may hold a token.
func checkURL(text string, private bool) *refusal.Refusal {
	bad := func(format string, args ...any) *refusal.Refusal {
		return refusal.New(refusal.Invalid, "invalid_url", format, args...)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > urlBytesMax || u.Hostname() == "" || u.Opaque != "":
		return bad("url must be an absolute URL of at most %d bytes", urlBytesMax)
	case u.User != nil:
		return bad("url must not have a user and password: lists show it")
	case strings.Contains(text, "#"):
		return bad("url must not have a fragment: it is not sent")
	case u.Scheme != "https" && (u.Scheme != "http" || !private):
		return bad("url must begin with https://")
	case u.Port() != "" && !validPort(u.Port()):
		return bad("the port of url must be 1 to 65535")
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && !private && !public(a) {
		return refusal.New(refusal.Invalid, "private_address", "url must lead to a public address; serve --webhooks-allow-private allows others")
	}
	return nil
}

func validPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

// rowVersion is written into the registry row.
const rowVersion = 1

type registryRow struct {
	Version  int       `json:"version"`
	URL      string    `json:"url"`
	Secret   []byte    `json:"secret"`
	Types    []string  `json:"types"`
	From     uint64    `json:"from"`
	Created  time.Time `json:"created"`
	Disabled bool      `json:"disabled"`
}

type progressRow struct {
	Delivered   uint64    `json:"delivered"`
	Failures    int       `json:"failures"`
	LastError   string    `json:"last_error"`
	LastErrorAt time.Time `json:"last_error_at"`
	NextAttempt time.Time `json:"next_attempt"`
}

func (e *Endpoint) registry() []byte {
	return mustJSON(registryRow{rowVersion, e.URL, e.Secret, e.Types, e.From, e.Created, e.Disabled})
}

func (e *Endpoint) progress() []byte {
	return mustJSON(progressRow{e.Delivered, e.Failures, e.LastError, e.LastErrorAt, e.NextAttempt})
}

func mustJSON(row any) []byte {
	text, err := json.Marshal(row)
	if err != nil {
		panic("BUG: webhook: a row does not encode: " + err.Error())
	}
	return text
}

// decodeEndpoint reads the rows of an endpoint. Its errors do not repeat them: a secret is in there.
func decodeEndpoint(id string, registry, progress []byte) (Endpoint, error) {
	var r registryRow
	var p progressRow
	if !decodeRow(registry, &r) || !decodeRow(progress, &p) || r.Version != rowVersion || len(r.Secret) == 0 || p.Failures < 0 {
		return Endpoint{}, fmt.Errorf("webhook: the rows of endpoint %s do not decode", id)
	}
	return Endpoint{
		ID: id, URL: r.URL, Secret: r.Secret, Types: r.Types, From: r.From, Created: r.Created, Disabled: r.Disabled,
		Delivered: p.Delivered, Failures: p.Failures, LastError: p.LastError, LastErrorAt: p.LastErrorAt, NextAttempt: p.NextAttempt,
	}, nil
}

func decodeRow(text []byte, row any) bool {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode(row) == nil && !dec.More()
}

// plain is an error's text as it may be listed: one line, bounded, without the URL that net/http puts in front.
func plain(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(err.Error(), "?"))
	if len(text) > errorBytesMax {
		text = strings.ToValidUTF8(text[:errorBytesMax], "") + "…"
	}
	return text
}
