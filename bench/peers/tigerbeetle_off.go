//go:build !tigerbeetle || !cgo

package peers

import (
	"context"
	"fmt"
)

// NewTigerBeetle says that this build has no client for it.
func NewTigerBeetle(context.Context, string, string) (Peer, error) {
	return nil, fmt.Errorf("TigerBeetle: %w: its client needs a build with CGO_ENABLED=1 and -tags tigerbeetle", ErrMissing)
}
