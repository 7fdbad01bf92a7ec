package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// What an interrupted export leaves. A part is written under temporary names, made durable, and its manifest with it; then its files get their names,
// the manifest last. Where a manifest with a temporary name is there, the next export goes on with the names. Nothing is ever removed that does
// not have a temporary name of ours: a part may be the only copy of what a ledger dropped, also when its manifest is lost.

// tempFiles are the files of a part that is being written.
var tempFiles = []string{roleCommands, roleNames, roleRows}

func tempName(role string) string { return partPrefix + role + tempSuffix }

// unfinished reports whether a file is one of an export under way or interrupted.
func unfinished(dir, name string) bool {
	for _, role := range tempFiles {
		if name == tempName(role) {
			return true
		}
	}
	base, _, _ := strings.Cut(name, ".")
	_, err := os.Lstat(filepath.Join(dir, base+manifestSuffix+tempSuffix))
	return err == nil && len(base) == len(stem(0, 0))
}

// recoverDir goes on with what an interrupted export left, or removes it.
func recoverDir(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name, cut := strings.CutSuffix(e.Name(), manifestSuffix+tempSuffix); cut && len(name) == len(stem(0, 0)) && strings.HasPrefix(name, partPrefix) {
			if err := recoverPart(ctx, dir, name); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{tempName(roleCommands), tempName(roleNames), tempName(roleRows), progressName + tempSuffix} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// recoverPart goes on with a part whose manifest has its temporary name.
func recoverPart(ctx context.Context, dir, stem string) error {
	path := filepath.Join(dir, stem+manifestSuffix+tempSuffix)
	data, err := readSmall(path, manifestMax)
	if err != nil {
		return err
	}
	m, err := ParseManifest(data)
	if err != nil || m.stem() != stem {
		return os.Remove(path) // half-written: nothing has its name yet
	}
	if _, err := os.Lstat(filepath.Join(dir, stem+manifestSuffix)); err == nil {
		return fmt.Errorf("%s%s%s: the manifest is there as well; remove one of them", stem, manifestSuffix, tempSuffix)
	}
	named, whole, err := m.found(ctx, dir)
	switch {
	case err != nil:
		return err
	case !whole && named == 0: // it was given up
		return os.Remove(path)
	case !whole:
		return fmt.Errorf("%s: a file that %s%s%s names is missing; put it back, or take the part away", stem, stem, manifestSuffix, tempSuffix)
	}
	return nameFiles(dir, m)
}

// found counts the files of a part that have their names, and says whether all others are there under their temporary ones.
func (m *Manifest) found(ctx context.Context, dir string) (named int, whole bool, err error) {
	whole = true
	for i := range m.Files {
		f := &m.Files[i]
		there, ok, err := f.is(ctx, filepath.Join(dir, f.Name))
		switch {
		case err != nil:
			return 0, false, err
		case there && !ok:
			return 0, false, fmt.Errorf("%s: it is there already, with other content than %s%s%s names", f.Name, m.stem(), manifestSuffix, tempSuffix)
		case there:
			named++
			continue
		}
		if _, ok, err = f.is(ctx, filepath.Join(dir, tempName(f.Role))); err != nil {
			return 0, false, err
		}
		whole = whole && ok
	}
	return named, whole, nil
}

// is reports whether a file is there, and whether it has the content that the manifest names.
func (f *File) is(ctx context.Context, path string) (there, ok bool, err error) {
	bytes, hash, err := hashFile(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	return err == nil, bytes == f.Bytes && hash == f.SHA256, err
}

// nameFiles gives the files of a part that do not have them yet their names, and its manifest last.
func nameFiles(dir string, m *Manifest) error {
	for i := range m.Files {
		path := filepath.Join(dir, m.Files[i].Name)
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		if err := os.Rename(filepath.Join(dir, tempName(m.Files[i].Role)), path); err != nil {
			return err
		}
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, m.stem()+manifestSuffix)
	if err := os.Rename(path+tempSuffix, path); err != nil {
		return err
	}
	return syncDir(dir)
}
