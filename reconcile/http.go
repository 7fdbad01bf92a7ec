package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of HTTP.
const (
	pageItems      = 1000
	answerBytesMax = 64 << 20
	requestTimeout = time.Minute
	trailsMax      = 4 // batches whose cursors are kept
)

// HTTP is the ledger of a running server, read by the contract. Used by one goroutine.
type HTTP struct {
	url, key string
	client   *http.Client
	trails   map[string][]step
}

// step is a page of a batch's lines that was read: where it begins, and its cursor. Cursors are opaque, so a way back goes by them.
type step struct {
	first  uint32
	cursor string
}

// NewHTTP returns the ledger of the server at url. key is the API key, "" for none; it needs the scope read.
func NewHTTP(url, key string) *HTTP {
	return &HTTP{url: strings.TrimSuffix(url, "/"), key: key, client: &http.Client{Timeout: requestTimeout}, trails: map[string][]step{}}
}

// Close drops idle connections.
func (h *HTTP) Close() { h.client.CloseIdleConnections() }

type page struct {
	Items []json.RawMessage `json:"items"`
	Next  string            `json:"next"`
}

func (h *HTTP) get(ctx context.Context, path, cursor string) (page, error) {
	q := url.Values{"limit": {strconv.Itoa(pageItems)}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url+path+"?"+q.Encode(), http.NoBody)
	if err != nil {
		return page{}, err
	}
	if h.key != "" {
		req.Header.Set("Authorization", "Bearer "+h.key)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return page{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		return page{}, fmt.Errorf("GET %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return page{}, fmt.Errorf("GET %s: status %d: %.200s", path, resp.StatusCode, bytes.TrimSpace(body))
	}
	var p page
	if err := json.Unmarshal(body, &p); err != nil {
		return page{}, fmt.Errorf("GET %s: %w", path, err)
	}
	return p, nil
}

// Batches implements Ledger.
func (h *HTTP) Batches(ctx context.Context) (out []Batch, err error) {
	for cursor, more := "", true; more; more = cursor != "" {
		p, err := h.get(ctx, "/v1/settlements", cursor)
		if err != nil {
			return nil, err
		}
		for _, item := range p.Items {
			b, err := parseBatch(item)
			if err != nil {
				return nil, err
			}
			out = append(out, b)
		}
		cursor = p.Next
	}
	return out, nil
}

// manifestFields are the fields of the record on Kafka. The answer over HTTP has others beside them.
var manifestFields = []string{"batch_id", "currency", "events", "first_sequence", "first_stream_seq", "last_sequence", "ledger", "lines",
	"lines_hash", "merkle_root", "partition", "previous", "sums", "time", "window"}

// parseBatch takes the manifest's own bytes out of an answer: canonical JSON has the keys in order, nothing between them, and each value
// in the one spelling that the answer has too.
func parseBatch(item []byte) (Batch, error) {
	var fields map[string]json.RawMessage
	var beside struct {
		KeyID     string `json:"key_id"`
		Signature string `json:"signature"`
		Published *struct {
			Topic       string `json:"topic"`
			Partition   int32  `json:"partition"`
			FirstOffset int64  `json:"first_offset"`
			LastOffset  int64  `json:"last_offset"`
		} `json:"published"`
	}
	if err := json.Unmarshal(item, &fields); err != nil {
		return Batch{}, err
	}
	if err := json.Unmarshal(item, &beside); err != nil {
		return Batch{}, err
	}
	b := Batch{KeyID: beside.KeyID, Signature: beside.Signature, Published: (*Place)(beside.Published)}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if slices.Contains(manifestFields, name) {
			b.Manifest = fmt.Appendf(b.Manifest, ",%q:%s", name, fields[name])
		}
	}
	if len(b.Manifest) == 0 {
		return Batch{}, fmt.Errorf("not a manifest: %.200s", item)
	}
	b.Manifest[0] = '{'
	b.Manifest = append(b.Manifest, '}')
	return b, nil
}

// Lines implements Ledger.
func (h *HTTP) Lines(ctx context.Context, batchID string, from uint32) ([][]byte, error) {
	trail := h.trails[batchID]
	if trail == nil {
		if len(h.trails) == trailsMax {
			clear(h.trails)
		}
		trail = []step{{first: 1}}
	}
	// The last known page that begins at or before the line; pages behind it are found by following next.
	i := len(trail) - 1
	for trail[i].first > from {
		i--
	}
	for at := trail[i]; ; {
		p, err := h.get(ctx, "/v1/settlements/"+batchID+"/lines", at.cursor)
		if err != nil {
			return nil, err
		}
		after := at.first + uint32(len(p.Items))
		if p.Next != "" && after > trail[len(trail)-1].first {
			trail = append(trail, step{after, p.Next})
		}
		h.trails[batchID] = trail
		if from < after {
			return rawLines(p.Items[from-at.first:]), nil
		}
		if p.Next == "" || len(p.Items) == 0 {
			return nil, nil
		}
		at = step{after, p.Next}
	}
}

func rawLines(items []json.RawMessage) [][]byte {
	out := make([][]byte, len(items))
	for i, item := range items {
		out[i] = item
	}
	return out
}
