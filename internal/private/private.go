package private

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// Errors of Read.
var (
	// ErrOpen: someone other than the owner has a permission on the file.
	ErrOpen = errors.New("the file is open to others than its owner")
	// ErrNoFile: it is no regular file, or larger than one of its kind can be.
	ErrNoFile = errors.New("not a file of this kind")
)

// Read reads a secret of at most so many bytes.
func Read(path string, maxBytes int64) ([]byte, error) {
	text, _, err := read(path, maxBytes, true)
	return text, err
}

// ReadStamped is Read that also says of which state of the file the text is.
func ReadStamped(path string, maxBytes int64) ([]byte, Stamp, error) {
	return read(path, maxBytes, true)
}

// ReadPublic reads a file that anybody may read: a certificate. It may be a link to one.
func ReadPublic(path string, maxBytes int64) ([]byte, error) {
	text, _, err := read(path, maxBytes, false)
	return text, err
}

func read(path string, maxBytes int64, secret bool) ([]byte, Stamp, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, Stamp{}, err
	}
	defer func() { _ = file.Close() }() // read only: closing cannot lose anything
	info, err := file.Stat()
	if err != nil {
		return nil, Stamp{}, err
	}
	stamp := stampOf(info) // before reading: what changes meanwhile has another
	if !info.Mode().IsRegular() {
		return nil, stamp, fmt.Errorf("%w: %s is not a regular file", ErrNoFile, path)
	}
	if mode := info.Mode().Perm(); secret && mode&0o077 != 0 {
		return nil, stamp, fmt.Errorf("%w: the mode of %s is %04o; run: chmod 600 %s", ErrOpen, path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err == nil && int64(len(text)) > maxBytes {
		err = fmt.Errorf("%w: %s is larger than %d bytes", ErrNoFile, path, maxBytes)
	}
	return text, stamp, err
}

// Stamp is the state of a file. Two equal ones are the same content, but for a file that
// was written in place within the clock tick of the first.
type Stamp struct {
	device, inode     uint64
	size              int64
	modified, changed time.Time
	mode              os.FileMode
}

// StampOf asks for a file's state; a file that cannot be asked for has the zero Stamp.
func StampOf(path string) Stamp {
	info, err := os.Stat(path)
	if err != nil {
		return Stamp{}
	}
	return stampOf(info)
}

// Fresh reports whether the file was changed so shortly before now that the next change
// may have the same Stamp: the clocks of file systems tick every few milliseconds.
func (s Stamp) Fresh(now time.Time) bool { return now.Sub(s.changed) < 50*time.Millisecond }

func stampOf(info os.FileInfo) Stamp {
	s := Stamp{size: info.Size(), modified: info.ModTime(), changed: info.ModTime(), mode: info.Mode()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = uint64(sys.Dev), sys.Ino //nolint:unconvert // Dev is narrower elsewhere
		s.changed = changeTime(sys)
	}
	return s
}
