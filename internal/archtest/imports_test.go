package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rowOf returns the longest row of the table imports that covers dir.
func rowOf(dir string) (row string, ok bool) {
	for candidate := range imports {
		if covers(candidate, dir) && len(candidate) >= len(row) {
			row, ok = candidate, true
		}
	}
	return row, ok
}

func TestImportDirections(t *testing.T) {
	for _, s := range load(t).sources {
		if s.test {
			continue
		}
		for _, problem := range directionProblems(s.dir, s.imports()) {
			t.Errorf("%s: %s", s.name, problem)
		}
	}
}

func directionProblems(dir string, importPaths []string) (problems []string) {
	row, ok := rowOf(dir)
	if !ok {
		return []string{fmt.Sprintf("package %s has no row in the table of import directions", dir)}
	}
	for _, importPath := range importPaths {
		ours, ok := strings.CutPrefix(importPath, module+"/")
		if ok && !covers(row, ours) && !inAny(imports[row], ours) {
			problems = append(problems, fmt.Sprintf("%s must not import %s; it may import %v", row, ours, imports[row]))
		}
	}
	return problems
}

// TestNoImportIsAllowedInVain keeps the table as narrow as the tree is.
func TestNoImportIsAllowedInVain(t *testing.T) {
	used := map[string]bool{}
	for _, s := range load(t).sources {
		row, ok := rowOf(s.dir)
		if s.test || !ok {
			continue
		}
		for _, importPath := range s.imports() {
			if ours, ok := strings.CutPrefix(importPath, module+"/"); ok {
				target, _ := rowOf(ours)
				used[row+" "+target] = true
			}
		}
	}
	for row, targets := range imports {
		for _, target := range targets {
			if !used[row+" "+target] {
				t.Errorf("%s may import %s and does not: take it out of the table and out of ARCHITECTURE.md", row, target)
			}
		}
	}
}

func TestCodemapNamesTheSameImports(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range codemapProblems(codemap(string(text))) {
		t.Error(problem)
	}
}

// codemap reads the rows of the table whose second column is "Imports of ours".
func codemap(text string) map[string][]string {
	rows := map[string][]string{}
	_, table, _ := strings.Cut(text, "\n| Package | Imports of ours |")
	for i, line := range strings.Split(table, "\n") {
		cells := strings.Split(line, "|")
		if i < 2 {
			continue // the rest of the head, and the rule below it
		}
		if len(cells) < 3 {
			break
		}
		names := strings.Fields(cells[2])
		if cell := strings.TrimSpace(cells[2]); cell == "–" || cell == "tests only" {
			names = nil
		}
		rows[strings.Trim(cells[1], " `")] = names
	}
	return rows
}

func codemapProblems(rows map[string][]string) (problems []string) {
	for name, names := range rows {
		if want, ok := imports[name]; !ok || !slices.Equal(names, want) {
			problems = append(problems, fmt.Sprintf("ARCHITECTURE.md lets %s import %v, the rule is %v", name, names, want))
		}
	}
	for name := range imports {
		if _, ok := rows[name]; !ok {
			problems = append(problems, fmt.Sprintf("ARCHITECTURE.md does not name %s", name))
		}
	}
	return problems
}

func TestLibrariesStayInTheirPackage(t *testing.T) {
	for _, s := range load(t).sources {
		if s.test {
			continue
		}
		for _, problem := range libraryProblems(s.dir, s.imports()) {
			t.Errorf("%s: %s", s.name, problem)
		}
	}
}

func libraryProblems(dir string, importPaths []string) (problems []string) {
	for _, importPath := range importPaths {
		for library, homes := range onlyIn {
			if covers(library, importPath) && !inAny(homes, dir) {
				problems = append(problems, fmt.Sprintf("imports %s, which only %v may", importPath, homes))
			}
		}
	}
	return problems
}

func TestPurePackages(t *testing.T) {
	tree := load(t)
	for _, s := range tree.sources {
		if s.test || !inAny(pure, s.dir) {
			continue
		}
		for _, problem := range purityProblems(tree.fset, s) {
			t.Error(problem)
		}
	}
}

func purityProblems(fset *token.FileSet, s *source) (problems []string) {
	report := func(node ast.Node, what string) {
		problems = append(problems, fmt.Sprintf("%s: %s in a pure package", fset.Position(node.Pos()), what))
	}
	for i, importPath := range s.imports() {
		if inAny(impureImports, importPath) {
			report(s.file.Imports[i], "import of "+importPath)
		}
	}
	clock := s.localName("time")
	ast.Inspect(s.file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.GoStmt:
			report(n, "a goroutine")
		case *ast.Ident:
			if slices.Contains(floats, n.Name) {
				report(n, n.Name)
			}
		case *ast.SelectorExpr:
			if isCall(n, clock, impureCalls) {
				report(n, "time."+n.Sel.Name)
			}
		}
		return true
	})
	return problems
}

// isCall says whether n is pkg.name for one of the names.
func isCall(n *ast.SelectorExpr, pkg string, names []string) bool {
	x, ok := n.X.(*ast.Ident)
	return ok && pkg != "" && x.Name == pkg && slices.Contains(names, n.Sel.Name)
}

func TestNoSleepInTests(t *testing.T) {
	tree := load(t)
	for _, s := range tree.sources {
		if !s.test {
			continue
		}
		for _, n := range sleeps(s) {
			t.Errorf("%s: time.Sleep in a test: wait for what you wait for, pass time in, or use testing/synctest", tree.fset.Position(n.Pos()))
		}
	}
}

func sleeps(s *source) (found []ast.Node) {
	clock := s.localName("time")
	ast.Inspect(s.file, func(node ast.Node) bool {
		if n, ok := node.(*ast.SelectorExpr); ok && isCall(n, clock, []string{"Sleep"}) {
			found = append(found, n)
		}
		return true
	})
	return found
}
