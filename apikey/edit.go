package apikey

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"go.yaml.in/yaml/v3"

	"farthing/internal/private"
)

// Add puts an entry into a key file, which is made if it is not there. It is on disk,
// whole, when Add returns; a server that uses the file knows the key Settled later.
func Add(path, entry string) error {
	return edit(path, func(text []byte) ([]byte, error) {
		if len(bytes.TrimSpace(text)) == 0 {
			return append(text, entry...), nil
		}
		root, doc, err := document(text)
		if err != nil {
			return nil, err
		}
		var more yaml.Node
		if err := yaml.Unmarshal([]byte(entry), &more); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrEntry, err)
		}
		root.Content, root.Style = append(root.Content, more.Content[0].Content...), 0
		return render(doc)
	})
}

// Revoke takes a key out of a key file; ErrUnknown: it is not in it. A server that uses
// the file refuses the key Settled later.
func Revoke(path string, id KeyID) error {
	return edit(path, func(text []byte) ([]byte, error) { return without(text, id) })
}

// without is the text of a file without a key. Comments and the order of the others stay.
func without(text []byte, id KeyID) ([]byte, error) {
	root, doc, err := document(text)
	if err != nil {
		return nil, err
	}
	for i, item := range root.Content {
		if e, _ := parseEntry(item); e.id == id {
			root.Content = append(root.Content[:i:i], root.Content[i+1:]...)
			if len(root.Content) == 0 {
				return []byte("[]\n"), nil
			}
			return render(doc)
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknown, id)
}

func document(text []byte) (root, doc *yaml.Node, err error) {
	if _, err := Parse(text); err != nil {
		return nil, nil, err
	}
	doc = new(yaml.Node)
	if err := yaml.Unmarshal(text, doc); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return doc.Content[0], doc, nil
}

func render(doc *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(doc), enc.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// edit replaces a file by what change makes of it. Two that do so at once wait for each
// other; a reader sees the old file or the new one.
func edit(path string, change func([]byte) ([]byte, error)) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	lock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // gives the lock back
	var text []byte
	info, err := os.Stat(path)
	if err == nil {
		text, err = private.Read(path, fileBytesMax)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if text, err = change(text); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := Parse(text); err != nil {
		return fmt.Errorf("%s: not written, because it would be refused: %w", path, err)
	}
	if err := replace(path, text, info); err != nil {
		return err
	}
	return lock.Sync()
}

// lockDir locks the directory of a file: the file itself is about to be another.
func lockDir(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// replace writes a file beside and renames it. It belongs to whom the old one does: a
// server under another user has to read it.
func replace(path string, text []byte, old os.FileInfo) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // for its owner alone
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if old != nil {
		if sys, ok := old.Sys().(*syscall.Stat_t); ok && (int(sys.Uid) != os.Getuid() || int(sys.Gid) != os.Getgid()) {
			err = f.Chown(int(sys.Uid), int(sys.Gid))
		}
	}
	_, errWrite := f.Write(text)
	if err = errors.Join(err, errWrite, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
