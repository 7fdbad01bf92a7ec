package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryPackageHasDoc(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range load(t).sources {
		if !s.test {
			documented[s.dir] = documented[s.dir] || strings.HasSuffix(s.name, "/doc.go") && s.file.Doc.Text() != ""
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: no doc.go with a package comment", dir)
		}
	}
}

func TestLengths(t *testing.T) {
	tree := load(t)
	for _, s := range tree.sources {
		for _, problem := range lengthProblems(tree.fset, s) {
			t.Error(problem)
		}
	}
}

func lengthProblems(fset *token.FileSet, s *source) (problems []string) {
	if ast.IsGenerated(s.file) {
		return nil
	}
	if lines := bytes.Count(s.text, []byte("\n")); lines > fileLinesMax && !excused(s.file.Comments, 0, s.file.Package) {
		problems = append(problems, fmt.Sprintf("%s: %d lines, the limit is %d", s.name, lines, fileLinesMax))
	}
	for _, decl := range s.file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		start, end := fset.Position(fn.Pos()), fset.Position(fn.End())
		lines := end.Line - start.Line + 1
		if lines > functionLinesMax && !excused(s.file.Comments, docPos(fn), fn.Pos()) {
			problems = append(problems, fmt.Sprintf("%s: %s has %d lines, the limit is %d", start, fn.Name.Name, lines, functionLinesMax))
		}
	}
	return problems
}

// docPos returns where the comment in front of fn begins, or fn itself.
func docPos(fn *ast.FuncDecl) token.Pos {
	if fn.Doc == nil {
		return fn.Pos()
	}
	return fn.Doc.Pos()
}

// excused says whether a comment between two positions gives a reason for
// being long.
func excused(groups []*ast.CommentGroup, from, to token.Pos) bool {
	for _, group := range groups {
		for _, comment := range group.List {
			reason, ok := strings.CutPrefix(comment.Text, longComment)
			if ok && strings.TrimSpace(reason) != "" && from <= comment.Pos() && comment.Pos() < to {
				return true
			}
		}
	}
	return false
}

func TestExportedNamesAreDocumented(t *testing.T) {
	tree := load(t)
	for _, s := range tree.sources {
		if s.test || ast.IsGenerated(s.file) {
			continue
		}
		for _, problem := range docProblems(tree.fset, s) {
			t.Error(problem)
		}
	}
}

func docProblems(fset *token.FileSet, s *source) (problems []string) {
	report := func(name *ast.Ident) {
		problems = append(problems, fmt.Sprintf("%s: exported %s has no comment", fset.Position(name.Pos()), name.Name))
	}
	for _, decl := range s.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc.Text() == "" && exportedReceiver(d.Recv) {
				report(d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				for _, name := range undocumented(d, spec) {
					report(name)
				}
			}
		}
	}
	return problems
}

// exportedReceiver says whether a function is one or belongs to an exported
// type: what nobody outside can name needs no promise to the outside.
func exportedReceiver(recv *ast.FieldList) bool {
	if recv == nil {
		return true
	}
	typ := recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// undocumented returns the exported names of one spec that neither it nor, for
// constants and variables, the group around it explains.
func undocumented(decl *ast.GenDecl, spec ast.Spec) (names []*ast.Ident) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc.Text() == "" && (decl.Lparen.IsValid() || decl.Doc.Text() == "") {
			names = append(names, s.Name)
		}
	case *ast.ValueSpec:
		if s.Doc.Text() != "" || s.Comment.Text() != "" || decl.Doc.Text() != "" {
			return nil
		}
		for _, name := range s.Names {
			if name.IsExported() {
				names = append(names, name)
			}
		}
	}
	return names
}

func TestForbiddenText(t *testing.T) {
	here := machinePaths(t)
	for _, name := range load(t).texts {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range textProblems(string(text), here) {
			t.Errorf("%s:%s", name, problem)
		}
	}
}

// machinePaths are the folders of this checkout and this user: wherever the
// test runs, the tree must not know where that is.
func machinePaths(t *testing.T) (paths []string) {
	t.Helper()
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.UserHomeDir()
	for _, dir := range []string{checkout, home} {
		// "/" and the like stand in any text.
		if err == nil && strings.Count(strings.Trim(dir, "/"), "/") > 0 {
			paths = append(paths, dir)
		}
	}
	return paths
}

func textProblems(text string, machinePaths []string) (problems []string) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSuffix(line, "\n")
		for _, rule := range forbiddenText {
			if found := rule.pattern.FindString(line); found != "" {
				problems = append(problems, fmt.Sprintf("%d: %q: %s", number, found, rule.why))
			}
		}
		for _, dir := range machinePaths {
			if strings.Contains(line, dir) {
				problems = append(problems, fmt.Sprintf("%d: %q is a path of this machine", number, dir))
			}
		}
	}
	return problems
}
