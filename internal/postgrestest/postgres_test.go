package postgrestest

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// TestServer starts one, asks it something, and finds nothing of it left behind.
func TestServer(t *testing.T) {
	var dir string
	t.Run("running", func(t *testing.T) {
		s := Start(t)
		dir = s.Dir()
		if err := s.CreateDatabase(t.Context(), "money"); err != nil {
			t.Fatal(err)
		}
		const sql = `SELECT 0.1::numeric + 0.2, 'é', current_database()`
		if got, err := s.Query(t.Context(), "money", sql); err != nil || got != "0.3|é|money" {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := s.Query(t.Context(), "money", `SELECT 1/0`); err == nil {
			t.Error("a division by zero is no error")
		}
	})
	if dir == "" {
		return // skipped
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", dir, err)
	}
}
