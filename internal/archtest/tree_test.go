package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.."
	module = "farthing"
)

// source is one parsed Go file.
type source struct {
	name string // from the root of the repository, with slashes
	dir  string // the package's directory, likewise
	text []byte
	file *ast.File
	test bool
}

// tree is everything the tests look at.
type tree struct {
	fset    *token.FileSet
	sources []*source
	texts   []string // the names of all text files, Go or not
}

// loadTree reads the repository once for all tests. Nobody changes the result.
var loadTree = sync.OnceValues(readTree)

func load(t *testing.T) *tree {
	t.Helper()
	tree, err := loadTree()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func readTree() (*tree, error) {
	result := &tree{fset: token.NewFileSet()}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(filepath.ToSlash(name), root+"/")
		switch {
		case entry.IsDir() && skipDir(rel, entry.Name()):
			return filepath.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		if isText(entry.Name()) {
			result.texts = append(result.texts, rel)
		}
		if strings.HasSuffix(rel, ".go") {
			return result.parse(rel)
		}
		return nil
	})
	return result, err
}

// skipDir leaves out what git ignores and what belongs to git.
func skipDir(rel, base string) bool {
	return slices.Contains([]string{".git", ".cache", "bin", "data", "node_modules", "target"}, base) && rel != root
}

func isText(base string) bool {
	if slices.Contains([]string{"Makefile", "LICENSE", "run"}, base) {
		return true
	}
	return slices.Contains([]string{".go", ".md", ".sh", ".yml", ".yaml", ".json", ".txt", ".xml", ".mod", ".properties"}, path.Ext(base))
}

func (t *tree) parse(rel string) error {
	text, err := os.ReadFile(filepath.Join(root, rel))
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(t.fset, rel, text, parser.ParseComments)
	if err != nil {
		return err
	}
	t.sources = append(t.sources, &source{
		name: rel, dir: path.Dir(rel), text: text, file: file, test: strings.HasSuffix(rel, "_test.go"),
	})
	return nil
}

// imports returns the import paths of s.
func (s *source) imports() []string {
	var paths []string
	for _, spec := range s.file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic("BUG: the parser passed a malformed import: " + spec.Path.Value)
		}
		paths = append(paths, name)
	}
	return paths
}

// localName returns the name under which s knows the package with the given
// import path, or "" if s does not import it.
func (s *source) localName(importPath string) string {
	for _, spec := range s.file.Imports {
		if spec.Path.Value != strconv.Quote(importPath) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// covers says whether name is row or lies below it.
func covers(row, name string) bool { return name == row || strings.HasPrefix(name, row+"/") }

// inAny says whether one of the rows covers name.
func inAny(rows []string, name string) bool {
	return slices.ContainsFunc(rows, func(row string) bool { return covers(row, name) })
}
