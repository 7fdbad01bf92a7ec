package limits

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	got, err := MeasureFsync(dir, 20)
	if err != nil || got.Writes != 20 || got.P50 <= 0 || got.P50 > got.P99 || got.P99 > got.Max+got.Max/50 {
		t.Errorf("%+v %v", got, err)
	}
	writes, err := MeasureWrites(t.Context(), dir, 20*time.Millisecond)
	if err != nil || writes.BytesPerSecond < 1<<16 {
		t.Errorf("%+v %v", writes, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if _, err := MeasureFsync(filepath.Join(dir, "none"), 1); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := MeasureWrites(ended, dir, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestProcessor(t *testing.T) {
	body := []byte(`[{"id":"a","n":1.5},{"id":"b"}]`)
	scan, err := MeasureScan(t.Context(), body, 10*time.Millisecond)
	if err != nil || scan < 1<<20 {
		t.Errorf("%d bytes a second: %v", scan, err)
	}
	if _, err := MeasureScan(t.Context(), body[:10], time.Millisecond); err == nil {
		t.Error("half a body is scanned")
	}
	if n := MeasureCopy(t.Context(), 10*time.Millisecond); n < 1<<26 {
		t.Errorf("%d bytes a second", n)
	}
}

func TestServeEmpty(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- ServeEmpty(l) }()
	client := &http.Client{Timeout: time.Minute}
	resp, err := client.Post("http://"+l.Addr().String()+"/v1/events", "application/json", bytes.NewReader(make([]byte, 300_000)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(got), `"accepted":1,`) {
		t.Errorf("%d %q %v", resp.StatusCode, got, err)
	}
	_ = l.Close()
	if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
