package export

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// outFile is a file being written: hashed as it goes, under a temporary name until it is whole and durable.
type outFile struct {
	path string // its name to be
	f    *os.File
	buf  *bufio.Writer
	hash hash.Hash
	n    int64
}

func create(path string) (*outFile, error) {
	f, err := os.OpenFile(path+tempSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	o := &outFile{path: path, f: f, hash: sha256.New()}
	o.buf = bufio.NewWriterSize(o.f, 256<<10)
	return o, nil
}

// Write implements io.Writer.
func (o *outFile) Write(p []byte) (int, error) {
	n, err := o.buf.Write(p)
	o.hash.Write(p[:n])
	o.n += int64(n)
	return n, err
}

// finish makes the file durable and describes it. Its name is still the temporary one.
func (o *outFile) finish(f *File) error {
	f.Bytes, f.SHA256 = o.n, hex.EncodeToString(o.hash.Sum(nil))
	return errors.Join(o.buf.Flush(), o.f.Sync(), o.f.Close())
}

func (o *outFile) discard() { _ = errors.Join(o.f.Close(), os.Remove(o.path+tempSuffix)) } // there may be nothing to close or remove any more

// zipped writes lines through gzip.
type zipped struct {
	*outFile
	z    *gzip.Writer
	rows uint64
}

func createZipped(path string) (*zipped, error) {
	o, err := create(path)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewWriterLevel(o, gzip.BestSpeed)
	if err != nil {
		panic("BUG: gzip does not know its own level: " + err.Error())
	}
	return &zipped{outFile: o, z: z}, nil
}

func (z *zipped) line(p []byte) error {
	z.rows++
	_, err := z.z.Write(p)
	return err
}

func (z *zipped) finish(f *File) error {
	f.Rows = z.rows
	return errors.Join(z.z.Close(), z.outFile.finish(f))
}

// writeDurable writes a small file, which appears whole.
func writeDurable(path string, content []byte) error {
	if err := writeSynced(path+tempSuffix, content); err != nil {
		return err
	}
	if err := os.Rename(path+tempSuffix, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// makeDirs makes a directory and those above it that are absent, durably: what is dropped elsewhere is nowhere but below it.
func makeDirs(dir string) error {
	dir = filepath.Clean(dir)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := makeDirs(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(above)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// eachLine calls fn with every line of a gzip file and returns how many there were.
func eachLine(path string, fn func(line []byte) error) (n uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	l, err := newLines(f)
	if err != nil {
		return 0, err
	}
	for {
		line, err := l.next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err == nil {
			err = fn(line)
		}
		if err != nil {
			return n, err
		}
		n++
	}
}
