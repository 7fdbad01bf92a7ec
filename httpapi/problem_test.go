package httpapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"farthing/refusal"
)

// TestEveryCodeHasAStatus reads the codes from the source of package refusal, so
// that a new one cannot be forgotten: without a status it would answer 500.
func TestEveryCodeHasAStatus(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../refusal/refusal.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		code, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if status, title := statusOf(refusal.Code(code)); status < 400 || title == "" {
			t.Errorf("%s: %d %q", code, status, title)
		}
		return true
	})
	if found != len(codes) {
		t.Errorf("%d codes in package refusal, %d here", found, len(codes))
	}
}
