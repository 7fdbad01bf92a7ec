package prices

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Column is one column of a table of prices, for the help.
type Column struct{ Name, Means string }

// matchPrefix starts the name of a column that holds a dimension's value.
const matchPrefix = "match."

// Columns are the columns of a table of prices in the order in which they are
// explained. Their order in a table is free.
var Columns = []Column{
	{"meter", "kind of usage, as in an event's type; in every row"},
	{"currency", "ISO 4217 code, in every row"},
	{matchPrefix + "NAME", "value that the event's dimension NAME must have, as match.model or match.service_tier; any number of such columns; an empty cell does not matter"},
	{"component", "what is counted: input, output, call, second; in every row"},
	{"unit", "price of one unit, or of as many as per says; may be empty beside a flat"},
	{"per", "whole number of units that cost unit, for instance 1000000; empty: 1"},
	{"flat", "fee for each event that has the component; in a row of tiers: when the tier is reached"},
	{"quantity_decimals", "how many decimals a quantity may have, 0 to 6; empty: 0"},
	{"minimum", "the component costs an event at least this"},
	{"above", "the row's unit holds in place of the other row's where the quantities of the components in of sum to more than this"},
	{"of", "for above: names of components that the price has, with spaces between them"},
	{"package", "units are only sold in packages of this size, of which each costs unit"},
	{"included", "so many units of a period are free"},
	{"tiers", "graduated or volume: the row is one tier of the component, which has a row for each"},
	{"up_to", "the tier's last unit in a period; empty in the last tier"},
	{"period", "of package, included and tiers: month or window; empty: month"},
	{"payee", "account that earns the price; empty: the operator"},
	{"fee", "share of the operator, 0 to 1; the rest is the payee's"},
}

// required are the columns that every row fills.
var required = []string{"meter", "currency", "component"}

// row is one row of a table.
type row struct {
	line  int
	cells map[string]string // without the empty ones
	match []Dimension       // sorted by key
}

// sheet reads a CSV. What is wrong is collected, and the rest is read all the same.
type sheet struct {
	problems []Problem
	rows     []row
}

func (t *sheet) problem(line int, column, format string, args ...any) {
	t.problems = append(t.problems, Problem{line, column, fmt.Sprintf(format, args...)})
}

// ImportCSV converts a table of prices as doc.go describes it. The error is a
// *TableError with every problem; there is no document then.
func ImportCSV(text []byte, opts Options) (*Document, *Report, error) {
	t := &sheet{}
	t.read(text)
	doc := t.document(opts)
	if len(t.rows) == 0 && len(t.problems) == 0 {
		t.problem(0, "", "it has no rows")
	}
	if len(t.problems) > 0 {
		slices.SortStableFunc(t.problems, func(a, b Problem) int { return cmp.Compare(a.Row, b.Row) })
		return nil, nil, &TableError{t.problems}
	}
	return doc, &Report{Rows: true, Entries: len(t.rows), Prices: len(doc.Prices)}, nil
}

// read collects the rows. Spreadsheets put a byte order mark first and empty
// rows last; both are skipped.
func (t *sheet) read(text []byte) {
	if !utf8.Valid(text) {
		t.problem(0, "", "it is not UTF-8")
		return
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	r.FieldsPerRecord = -1
	var columns []string
	for {
		cells, err := r.Read()
		if err == io.EOF {
			break
		}
		var wrong *csv.ParseError
		if errors.As(err, &wrong) { // where the next row starts is unknown
			t.problem(wrong.Line, "", "%v; what follows was not read", wrong.Err)
			return
		}
		line, _ := r.FieldPos(0)
		if columns == nil {
			if columns = t.header(line, cells); columns == nil {
				return
			}
			continue
		}
		t.row(line, columns, cells)
	}
	if columns == nil {
		t.problem(0, "", "it is empty")
	}
}

// header checks the names of the columns. It returns nil if they cannot be told apart.
func (t *sheet) header(line int, cells []string) []string {
	if len(cells) == 1 && strings.ContainsAny(cells[0], ";\t") {
		t.problem(line, "", "the columns must be separated by commas")
		return nil
	}
	columns := make([]string, len(cells))
	for i, cell := range cells {
		name := strings.TrimSpace(cell)
		known := slices.ContainsFunc(Columns, func(c Column) bool { return c.Name == name && !strings.HasPrefix(name, matchPrefix) }) ||
			strings.HasPrefix(name, matchPrefix) && len(name) > len(matchPrefix)
		switch {
		case !known:
			t.problem(line, name, "unknown column")
		case slices.Contains(columns, name):
			t.problem(line, name, "the column is there twice")
		}
		columns[i] = name
	}
	for _, name := range required {
		if !slices.Contains(columns, name) {
			t.problem(line, name, "the column is missing")
			columns = nil
			break
		}
	}
	return columns
}

func (t *sheet) row(line int, columns, cells []string) {
	r := row{line: line, cells: map[string]string{}}
	for i, cell := range cells {
		cell = strings.TrimSpace(cell)
		switch {
		case cell == "":
		case i >= len(columns):
			t.problem(line, "", "cell %d is %q, but there are %d columns", i+1, cell, len(columns))
		case strings.HasPrefix(columns[i], matchPrefix):
			r.match = append(r.match, Dimension{strings.TrimPrefix(columns[i], matchPrefix), cell})
		default:
			r.cells[columns[i]] = cell
		}
	}
	if len(r.cells) == 0 && len(r.match) == 0 {
		return
	}
	slices.SortFunc(r.match, func(a, b Dimension) int { return cmp.Compare(a.Key, b.Key) })
	for _, name := range required {
		if r.cells[name] == "" {
			t.problem(line, name, "must not be empty")
		}
	}
	t.rows = append(t.rows, r)
}
