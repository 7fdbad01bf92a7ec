package postgrestest

import (
	"errors"
	"os"
	"testing"

	"farthing/internal/postgres"
)

// Start starts a server that ends with t. Its durability is switched off: no test pulls the plug of it.
func Start(t testing.TB) *postgres.Server {
	t.Helper()
	// Not in t.TempDir: a socket's path has at most 107 bytes, and the server's user may not pass through.
	s, err := postgres.Start("", "fsync=off")
	if errors.Is(err, postgres.ErrMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}
