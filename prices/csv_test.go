package prices

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"farthing/meter"
)

func readSheet(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/book.csv")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func importSheet(t *testing.T, text []byte) *Document {
	t.Helper()
	doc, report, err := ImportCSV(text, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if report.Prices != len(doc.Prices) {
		t.Errorf("the report has %d prices, the document %d", report.Prices, len(doc.Prices))
	}
	return doc
}

// TestSheet shows every price model.
func TestSheet(t *testing.T) {
	body := importSheet(t, readSheet(t)).AppendJSON(nil)
	version := accept(t, body)
	golden(t, "book.book.json", body)
	models := map[meter.Model]bool{}
	for _, p := range version.Prices {
		for _, c := range p.Components {
			models[c.Model] = true
		}
	}
	for _, want := range []meter.Model{meter.Linear, meter.Package, meter.Graduated, meter.Volume, meter.Included} {
		if !models[want] {
			t.Errorf("the table has no price of model %v", want)
		}
	}
}

// TestSheetOrderDoesNotMatter: the order of rows and of columns, a byte order
// mark and empty rows change no byte.
func TestSheetOrderDoesNotMatter(t *testing.T) {
	text := readSheet(t)
	want := importSheet(t, text).AppendJSON(nil)
	if !bytes.Equal(importSheet(t, text).AppendJSON(nil), want) {
		t.Error("the second import differs")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		cells := [][]string{}
		for line := range strings.Lines(string(text)) {
			cells = append(cells, strings.Split(strings.TrimSuffix(line, "\n"), ","))
		}
		rows := cells[1:]
		random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		order := random.Perm(len(cells[0]))
		var out strings.Builder
		out.WriteString("\ufeff")
		for _, row := range cells {
			var moved []string
			for _, i := range order {
				moved = append(moved, " "+row[i]+" ")
			}
			out.WriteString(strings.Join(moved, ",") + "\r\n" + strings.Repeat(",", len(order)-1) + "\n")
		}
		if got := importSheet(t, []byte(strings.TrimSuffix(out.String(), "\n"))).AppendJSON(nil); !bytes.Equal(got, want) {
			t.Fatalf("differs:\n%s\nwant\n%s", got, want)
		}
	}
}

// TestSheetProblems: each is told with its row and column, all of them at once,
// and nothing is imported.
func TestSheetProblems(t *testing.T) {
	const header = "meter,currency,match.model,component,unit,per,flat,minimum,quantity_decimals,above,of,package,included,tiers,up_to,period,payee,fee\n"
	f := func(rows string, want ...string) {
		t.Helper()
		if !strings.HasPrefix(rows, "meter") && !strings.HasPrefix(rows, "\x00") {
			rows = header + rows
		}
		doc, _, err := ImportCSV([]byte(strings.TrimPrefix(rows, "\x00")), Options{})
		var wrong *TableError
		if !errors.As(err, &wrong) || !errors.Is(err, ErrTable) || doc != nil {
			t.Errorf("%q: document %v, error %v", rows, doc, err)
			return
		}
		var got []string
		for _, p := range wrong.Problems {
			got = append(got, p.String())
			if !strings.Contains(err.Error(), p.String()) {
				t.Errorf("%q: the error does not list %s", rows, p)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q:\n got %q\nwant %q", rows, got, want)
		}
	}
	f("\x00", "it is empty")
	f("\x00\xff", "it is not UTF-8")
	f("\x00meter;currency;component\n", "row 1: the columns must be separated by commas")
	f("meter,currency,component,unit\n", "it has no rows")
	f("meter,component,price,unit,unit\n", "row 1, column price: unknown column", "row 1, column unit: the column is there twice", "row 1, column currency: the column is missing")
	f("meter,currency,component,match.\n", "row 1, column match.: unknown column")
	f("meter,currency,component,unit\nm,USD,\"a\nb\",x\"y\n", `row 3: bare " in non-quoted-field; what follows was not read`)
	f("meter,currency,component,unit\nm,USD,a,1,2\n,,a,1", `row 2: cell 5 is "2", but there are 4 columns`, "row 3, column meter: must not be empty", "row 3, column currency: must not be empty")
	f("m,USD,,a,\"0,5\"\nm,USD,,b,-1\nm,USD,,c\nm,USD,,d,1e-19\n",
		`row 2, column unit: "0,5": money: not a decimal number`, `row 3, column unit: "-1" is negative`, "row 4, column unit: is missing: write 0 for what is free",
		`row 5, column unit: "1e-19": money: too many decimal places`)
	f("m,USD,,a,1,0\nm,USD,,b,1,1.5\nm,USD,,c,1,x\n", `row 2, column per: "0" is no whole number above 0`, `row 3, column per: "1.5" is no whole number above 0`,
		`row 4, column per: "x" is no whole number above 0`)
	f("m,USD,,a,1\nm,USD,,a,2\n", "row 3, column component: row 2 prices a for the same events already")
	f("m,USD,,a,1,,,,7\n", `row 2, column quantity_decimals: "7" is no whole number from 0 to 6`)
	f("m,USD,,a,1,,,,,100\n", "row 2, column of: must name the components whose quantities are above 100", "row 2, column above: no row says what a costs below that")
	f("m,USD,,a,1,,,,,,a\n", "row 2, column of: must be empty: only rows with above have one")
	f("m,USD,,a,1\nm,USD,,a,2,,,,,10,a\nm,USD,,a,3,,1,,,10,b\n", "row 4, column flat: must be empty: a row with above has none",
		"row 4, column of: must be the same in all rows of the component", "row 4, column above: the same as in row 3")
	f("m,USD,,a,1,,,,,,,,,stairs\n", `row 2, column tiers: "stairs" is neither graduated nor volume`)
	f("m,USD,,a,1,,,,,,,,,volume,5\nm,USD,,a,2,,,,,,,,,,5\nm,USD,,a,2,,,,,,,,,graduated\n",
		`row 3, column tiers: must be "volume", as in the other rows of the component`, `row 3, column up_to: the same as in row 2`,
		`row 4, column tiers: "graduated", but row 2 of the same component has "volume"`)
	f("m,USD,,a,1,,,,,,,,,,5\n", "row 2, column up_to: must be empty: only rows with tiers have one")
	f("m,USD,,a,1,,,,,,,,,volume,5\n", "row 2: a: volume[0].up_to leaves quantities above it without a price: the last tier must be open")
	f("m,USD,,b,1\nm,USD,,a,1,,,2,,,,10\n", "row 3: a: minimum is only for linear prices")
	f("m,XXQ,,a,1\nm,USD,x,a,1,,,,,,,,,,,,p,0.5\nm,USD,x,b,1,,,,,,,,,,,,q,2\n",
		`row 2: the price of row 2: unknown currency "XXQ"`, `row 4, column payee: "q", but row 3 of the same price has "p"`, `row 4, column fee: "2", but row 3 of the same price has "0.5"`)
	f("m,USD,,b,1\nm,USD,,a,1\nm,USD,,a,2,,,,,10,a c\n", "row 3: a: above[0].of names c, which the price does not price")
	f("m,USD,,b,x\nm,USD,,a,1\nm,USD,,a,2,,,,,10,a b\n", `row 2, column unit: "x": money: not a decimal number`) // b has a price, if a wrong one
	f("m,USD,,a,1,,,,,,,,,,,,,0.5\n", "row 2: the price of row 2: fee is a share of what a payee earns, and payee is missing")
	f("meter,currency,match.a,match.b,component,unit\nm,USD,1,,x,1\nm,USD,,2,x,1\n",
		"row 2: the price of row 2 and the price of row 3 of meter m are ambiguous: they match on a and b and do not contradict")
}

// FuzzSheet: what is accepted is a version, and importing it again is the same.
func FuzzSheet(f *testing.F) {
	text, err := os.ReadFile("testdata/book.csv")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("meter,currency,component,unit,per,flat\nm,USD,a,1E-6,1000,\nm,EUR,a,,,1\n"))
	f.Add([]byte("meter,currency,component,tiers,unit,up_to\nm,USD,a,volume,1,5\nm,USD,a,volume,1,\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, _, err := ImportCSV(text, Options{})
		if err != nil {
			return
		}
		accept(t, doc.AppendJSON(nil))
	})
}
