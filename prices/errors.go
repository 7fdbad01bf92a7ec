package prices

import (
	"errors"
	"fmt"
	"strings"
)

// ErrList says that the text is not a JSON object in UTF-8, model by model.
// Nothing of such a list is imported: what follows the mistake is unknown.
var ErrList = errors.New("not a LiteLLM price list")

// ErrTable says that a CSV table of prices has problems. The error is a *TableError.
var ErrTable = errors.New("not a usable table of prices")

// Problem is one thing that is wrong with a table.
type Problem struct {
	Row    int    // line of the file, the header is 1; 0: the whole table
	Column string // empty: the whole row
	Text   string
}

// String tells where the problem is and what.
func (p Problem) String() string {
	switch {
	case p.Row == 0:
		return p.Text
	case p.Column == "":
		return fmt.Sprintf("row %d: %s", p.Row, p.Text)
	}
	return fmt.Sprintf("row %d, column %s: %s", p.Row, p.Column, p.Text)
}

// TableError is every problem of a table, sorted by row. Nothing is imported of
// a table with one: it was written by hand, and what is missing in it would be
// usage that nobody pays for.
type TableError struct{ Problems []Problem }

// problemsMax bounds how many problems the text of a TableError lists.
const problemsMax = 1000

// Error lists the problems, one a line.
func (e *TableError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %d problems, nothing was imported", ErrTable, len(e.Problems))
	for i, p := range e.Problems {
		if i == problemsMax {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Problems)-i)
			break
		}
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// Unwrap returns ErrTable.
func (e *TableError) Unwrap() error { return ErrTable }
