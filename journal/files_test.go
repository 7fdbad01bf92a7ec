package journal

import (
	"crypto/sha256"
	"fmt"
	"io"
	"sort"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// snapshot lists all files below the test directory with the hash of their content, lock files left out.
func snapshot(tb testing.TB, fs vfs.FS) []string {
	tb.Helper()
	var list []string
	var walk func(path string)
	walk = func(path string) {
		info, err := fs.Stat(path)
		if err != nil {
			tb.Fatal(err)
		}
		if !info.IsDir() {
			list = append(list, fmt.Sprintf("%s %x", path, sha256.Sum256(readFile(tb, fs, path))))
			return
		}
		names, err := fs.List(path)
		if err != nil {
			tb.Fatal(err)
		}
		for _, name := range names {
			if name != lockName {
				walk(fs.PathJoin(path, name))
			}
		}
	}
	walk(testDir)
	sort.Strings(list)
	return list
}

func readFile(tb testing.TB, fs vfs.FS, path string) []byte {
	tb.Helper()
	f, err := fs.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func writeFile(tb testing.TB, fs vfs.FS, path string, data []byte) {
	tb.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := f.Write(append([]byte(nil), data...)); err != nil {
		tb.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
}

// storeFiles lists the paths of the store's files whose name starts or ends with part, in ascending order.
func storeFiles(tb testing.TB, fs vfs.FS, part string) []string {
	tb.Helper()
	dir := fs.PathJoin(testDir, liveName, storeName)
	names, err := fs.List(dir)
	if err != nil {
		tb.Fatal(err)
	}
	var found []string
	for _, name := range names {
		if strings.HasPrefix(name, part) || strings.HasSuffix(name, part) {
			found = append(found, fs.PathJoin(dir, name))
		}
	}
	sort.Strings(found)
	if len(found) == 0 {
		tb.Fatalf("no file %s in the store", part)
	}
	return found
}
