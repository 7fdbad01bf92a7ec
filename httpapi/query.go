package httpapi

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"farthing/engine"
	"farthing/refusal"
)

// Bounds of ?limit=.
const (
	limitDefault = 100
	limitMax     = 1000
	cursorMax    = 1024 // bytes; cursors are ours and far shorter
)

// query is the parameters of a request; its getters note the first refusal.
type query struct {
	values url.Values
	no     *refusal.Refusal
}

// query reads the query string, which may only have the named parameters, each
// at most once.
func (c *call) query(names ...string) query {
	values, err := url.ParseQuery(string(c.target.query))
	if err != nil {
		return query{no: refusal.New(refusal.Malformed, "invalid_escape", "the query string cannot be parsed")}
	}
	q := query{values: values}
	for name, given := range values {
		switch {
		case !slices.Contains(names, name):
			q.refuse("unknown_parameter", "a query parameter is not known here; known are: %s", strings.Join(names, ", "))
		case len(given) > 1:
			q.refuse("duplicate_parameter", "%s is given twice", name)
		}
	}
	return q
}

func (q *query) refuse(reason, format string, args ...any) {
	if q.no == nil {
		q.no = refusal.New(refusal.Invalid, reason, format, args...)
	}
}

// page returns the cursor and the limit of a list.
func (q *query) page() (cursor string, limit int) {
	limit = limitDefault
	if text := q.values.Get("limit"); q.values.Has("limit") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > limitMax {
			q.refuse("invalid_limit", "limit must be 1 to %d", limitMax)
		}
		limit = n
	}
	cursor = q.values.Get("cursor")
	if len(cursor) > cursorMax {
		q.refuse("invalid_cursor", "this cursor is not from a list here")
	}
	return cursor, limit
}

// time returns a parameter that is an RFC 3339 time or a date (its midnight, UTC);
// the zero time when it is absent.
func (q *query) time(name string) time.Time {
	if !q.values.Has(name) {
		return time.Time{}
	}
	t, ok := timeOrDay(q.values.Get(name))
	if !ok {
		q.refuse("invalid_time", "%s must be an RFC 3339 time or a date from %d to %d", name, yearMin, yearMax)
	}
	return t
}

// timeOrDay reads an RFC 3339 time or a date, which is its midnight in UTC.
func timeOrDay(text string) (time.Time, bool) {
	if day, err := time.Parse(dayLayout, text); err == nil && day.Year() >= yearMin && day.Year() <= yearMax {
		return day, true
	}
	ns, ok := parseTime([]byte(text))
	return time.Unix(0, ns).UTC(), ok
}

// stretch returns the parameters from and to; the zero time leaves its end open.
func (q *query) stretch() (from, to time.Time) {
	from, to = q.time("from"), q.time("to")
	if !to.IsZero() && !from.Before(to) {
		q.refuse("invalid_time", "from must be before to")
	}
	return from, to
}

// list is the answer of every list.
type list struct {
	Items []any `json:"items"`
	// Next is the cursor of the following page; empty at the end.
	Next string `json:"next"`
}

// listOf turns a page of the engine into an answer.
func listOf[T any](page engine.Page[T], no *refusal.Refusal, view func(*T) any) (answer, *refusal.Refusal) {
	if no != nil {
		return answer{}, no
	}
	out := list{Items: make([]any, 0, len(page.Items)), Next: page.Next}
	for i := range page.Items {
		out.Items = append(out.Items, view(&page.Items[i]))
	}
	return answer{200, out}, nil
}
