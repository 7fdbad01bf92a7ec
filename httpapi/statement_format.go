package httpapi

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
)

// statementFormat is how a statement is written.
type statementFormat uint8

const (
	asJSON statementFormat = iota
	asCSV
	asPage
)

// statementTypes are the media types of the formats, the preferred first.
var statementTypes = [...]string{asJSON: "application/json", asCSV: "text/csv", asPage: "text/html"}

// statementFormat returns what ?format= asks for, or else the Accept header. What accepts none of
// the three is answered with JSON.
func (q *query) statementFormat(accept []byte) statementFormat {
	if !q.values.Has("format") {
		return acceptedFormat(string(accept))
	}
	switch q.values.Get("format") {
	case "json":
		return asJSON
	case "csv":
		return asCSV
	case "html":
		return asPage
	}
	q.refuse("invalid_format", "format must be json, csv or html")
	return asJSON
}

// acceptedFormat returns the format of the highest weight (RFC 9110, 12.5.1). The most specific
// range that names a type gives its weight.
func acceptedFormat(accept string) statementFormat {
	best, weight := asJSON, 0
	for f, media := range statementTypes {
		if w := acceptedWeight(accept, media); w > weight {
			best, weight = statementFormat(f), w
		}
	}
	return best
}

// acceptedWeight is the weight of a media type, in thousandths.
func acceptedWeight(accept, media string) (weight int) {
	major, _, _ := strings.Cut(media, "/")
	specific := 0
	for part := range strings.SplitSeq(accept, ",") {
		name, parameters, _ := strings.Cut(part, ";")
		rank := 0
		switch strings.ToLower(strings.TrimSpace(name)) {
		case media:
			rank = 3
		case major + "/*":
			rank = 2
		case "*/*":
			rank = 1
		}
		if rank > specific {
			specific, weight = rank, quality(parameters)
		}
	}
	return weight
}

// quality returns the weight among the parameters of a range, in thousandths; a broken one is 0.
func quality(parameters string) int {
	for p := range strings.SplitSeq(parameters, ";") {
		name, text, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			whole, rest, _ := strings.Cut(text, ".")
			n, err := strconv.ParseUint(whole+(rest + "000")[:3], 10, 16)
			if err != nil || len(rest) > 3 || n > 1000 {
				return 0
			}
			return int(n)
		}
	}
	return 1000
}

// csv writes a statement as one table: the sum of all amounts but the last row's is the last
// row's.
func (v *statementJSON) csv() []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	write := func(section, reason, meter, model, component, count, quantity, amount string) {
		row := []string{guarded(v.Account), strconv.FormatUint(v.Window, 10), v.Currency, section, guarded(reason), guarded(meter), guarded(model),
			guarded(component), count, quantity, amount}
		if w.Write(row) != nil {
			panic("BUG: a buffer does not take a row")
		}
	}
	if w.Write([]string{"account", "window", "currency", "section", "reason", "meter", "model", "component", "count", "quantity", "amount"}) != nil {
		panic("BUG: a buffer does not take a row")
	}
	write("opening", "", "", "", "", "", "", v.Opening)
	for _, s := range v.sections {
		for _, u := range s.Usage {
			write(s.Key, u.Kind, u.Meter, textOf(u.Model), u.component(), strconv.FormatUint(u.Events, 10), textOf(u.Quantity), u.Amount)
		}
		for _, i := range s.Items {
			write(s.Key, i.Reason, "", "", "", strconv.FormatUint(i.Count, 10), "", i.Amount)
		}
	}
	write("closing", "", "", "", "", "", "", v.Closing)
	w.Flush()
	return out.Bytes()
}

// component names the row's component.
func (u *statementUsageJSON) component() string {
	if u.Rest {
		return "(all others)"
	}
	return u.Component
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// guarded is a text cell that no spreadsheet takes for a formula. Where the list separator is a
// semicolon or a tab, one splits our rows there, quoted or not, so what stands behind a separator may
// begin a cell too. Numbers are ours and stay numbers.
func guarded(text string) string {
	var out strings.Builder
	begins := true
	for i, r := range text {
		if begins && strings.ContainsRune("=+-@|%＝＋－＠", r) || i == 0 && strings.ContainsRune("\t\r\n", r) {
			out.WriteByte('\'')
		}
		begins = strings.ContainsRune(",;|\t\r\n", r) || begins && strings.ContainsRune(" \"", r)
		out.WriteRune(r)
	}
	return out.String()
}

// fileName is a name for the statement's file; ids have characters that names must not have.
func (v *statementJSON) fileName() string {
	safe := strings.Map(func(r rune) rune {
		if strings.ContainsRune("/:@", r) {
			return '_'
		}
		return r
	}, v.Account)
	return "statement-" + safe + "-" + v.Currency + "-" + strconv.FormatUint(v.Window, 10)
}
