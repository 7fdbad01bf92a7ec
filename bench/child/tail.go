package child

import (
	"io"
	"strings"
	"sync"
)

// tailBytesMax is enough for a stack trace's first frames or a refusal to
// start with its reason.
const tailBytesMax = 8 << 10

// tailBuffer keeps the last words of a process for error texts and passes
// everything on to next (nil: nowhere).
type tailBuffer struct {
	next io.Writer // immutable; used by os/exec's copying goroutine alone

	mu struct {
		sync.Mutex
		last []byte
	}
}

// Write never fails because of next: losing a log is no reason to stop the
// server's output.
func (t *tailBuffer) Write(p []byte) (int, error) {
	if t.next != nil {
		_, _ = t.next.Write(p)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.last = append(t.mu.last, p...)
	if over := len(t.mu.last) - tailBytesMax; over > 0 {
		t.mu.last = append(t.mu.last[:0], t.mu.last[over:]...)
	}
	return len(p), nil
}

// String is what was said last.
func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.mu.last))
}
