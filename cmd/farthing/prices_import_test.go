package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPricesImport(t *testing.T) {
	text := `{"m":{"input_cost_per_token":1e-6,"litellm_provider":"p"},"free":{"input_cost_per_token":0}}`
	dir := t.TempDir()
	out := filepath.Join(dir, "book.json")
	ctx, stdout, stderr := testContext()
	ctx.Stdin = strings.NewReader(text)
	code := run([]string{"prices", "import", "--format=litellm", "--effective-from=2026-11-01T00:00:00Z", "--payee-by-provider", "--version=v7", "-v", "-o", out, "-"}, ctx)
	if code != exitOK || stdout.Len() != 0 {
		t.Fatalf("exit code %d, standard output %q, standard error %s", code, stdout, stderr)
	}
	var book struct {
		EffectiveFrom string `json:"effective_from"`
		Prices        []struct{ Payee string }
	}
	decodeFile(t, out, &book)
	if book.EffectiveFrom != "2026-11-01T00:00:00Z" || len(book.Prices) != 1 || book.Prices[0].Payee != "p" {
		t.Errorf("the book is %+v", book)
	}
	for _, want := range []string{"2 │ entries", "1 │   priced, in 1 prices", "1 │   listed", `not priced: "free"`, "/v1/prices/v7"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q in:\n%s", want, stderr)
		}
	}
}

func decodeFile(t *testing.T, path string, into any) {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
}

// TestPricesImportReport: the file has every entry and field, in both formats.
func TestPricesImportReport(t *testing.T) {
	list := writeFile(t, `{"m":{"input_cost_per_token":1e-6,"price":"?"},"free":{"input_cost_per_token":0}}`)
	path := filepath.Join(t.TempDir(), "report.json")
	ctx, _, stderr := testContext()
	if code := run([]string{"prices", "import", "--format=litellm", "--report=" + path, list}, ctx); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var report struct {
		Entries, Priced, Fields int
		Listed, Derived, Used   []map[string]string
		LeftOut                 []map[string]string `json:"left_out"`
	}
	decodeFile(t, path, &report)
	if report.Entries != 2 || report.Priced != 1 || report.Fields != 3 || len(report.Used) != 1 || len(report.LeftOut) != 2 ||
		len(report.Listed) != 1 || report.Listed[0]["model"] != "free" || report.Listed[0]["reason"] == "" || len(report.Derived) != 1 {
		t.Errorf("the report is %+v", report)
	}
	path = filepath.Join(t.TempDir(), "report.tsv")
	if code := run([]string{"prices", "import", "--format=litellm", "--report=" + path, list}, ctx); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(strings.NewReader(string(body)))
	r.Comma = '\t'
	rows, err := r.ReadAll()
	if err != nil || len(rows) != 1+1+2+1+1 || rows[1][0] != "listed" || rows[1][1] != "free" {
		t.Errorf("rows %q, error %v", rows, err)
	}
}

// TestPricesImportCSV: a table becomes a version; one with problems becomes
// nothing, and each problem is told.
func TestPricesImportCSV(t *testing.T) {
	ctx, stdout, stderr := testContext()
	table := writeFile(t, "meter,currency,match.model,component,unit,per\nllm.tokens,USD,m,input,2.50,1000000\n")
	if code := run([]string{"prices", "import", "--format=csv", table}, ctx); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if want := `"components":{"input":{"unit":"2.5","per":"1000000"}}`; !strings.Contains(stdout.String(), want) {
		t.Errorf("no %s in %s", want, stdout)
	}
	if want := "put it as /v1/prices/csv-"; !strings.Contains(stderr.String(), want) {
		t.Errorf("no %s in %s", want, stderr)
	}
	ctx, stdout, stderr = testContext()
	table = writeFile(t, "meter,currency,component,unit,per\nm,USD,a,x,0\nm,XXQ,b,-1,\n")
	if code := run([]string{"prices", "import", "--format=csv", table}, ctx); code != exitFailure || stdout.Len() != 0 {
		t.Errorf("exit code %d, standard output %q", code, stdout)
	}
	for _, want := range []string{"row 2, column unit", "row 2, column per", "row 3, column unit"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q in:\n%s", want, stderr)
		}
	}
}
