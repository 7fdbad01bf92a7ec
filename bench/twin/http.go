package twin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// ServeHTTP answers the routes that the package comment names.
func (l *Ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	status, answer := l.routeLocked(r, body)
	out, err := json.Marshal(answer)
	if err != nil {
		panic("BUG: twin: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

func (l *Ledger) routeLocked(r *http.Request, body []byte) (int, any) {
	parts := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	route := r.Method + " " + parts[0]
	if len(parts) > 1 {
		route = r.Method + " " + parts[1]
	}
	switch {
	case route == "GET readyz":
		return 200, "ready"
	case strings.HasSuffix(route, " accounts"):
		return l.accountsLocked(r, parts, body)
	case route == "POST holds" && len(parts) == 2:
		return l.holdsLocked(body)
	case route == "POST holds" && len(parts) == 4 && parts[3] == "capture":
		return l.capturesLocked(parts[2], body)
	case route == "POST captures":
		return l.capturesLocked("", body)
	case route == "PUT prices":
		return l.putPricesLocked(parts[2], body)
	case route == "POST events":
		return l.eventsLocked(r.Header.Get("Content-Type"), body)
	case route == "GET events" && len(parts) == 4:
		return l.bookedLocked(parts[2], parts[3])
	case route == "POST settlements":
		return l.settleLocked(body)
	case route == "GET settlements":
		return l.batchLocked(parts[2:])
	case route == "GET trial-balance":
		return l.trialLocked()
	}
	return refusal(404, "not_found", r.URL.Path)
}

// accountsLocked routes what is asked of accounts.
func (l *Ledger) accountsLocked(r *http.Request, parts []string, body []byte) (int, any) {
	switch {
	case len(parts) == 4 && parts[3] == "limits":
		return l.limitsLocked(parts[2], body)
	case r.Method == http.MethodPost && len(parts) == 2:
		return l.openLocked(body)
	case r.Method == http.MethodPost && len(parts) == 4:
		return l.topupLocked(parts[2], body)
	case r.Method == http.MethodGet && len(parts) >= 3:
		return l.readLocked(parts[2:])
	}
	return refusal(404, "not_found", r.URL.Path)
}

func refusal(status int, code, detail string) (int, any) {
	return status, map[string]any{"status": status, "code": code, "detail": detail}
}

func items[T any](all []T) (int, any) {
	if all == nil {
		all = []T{}
	}
	return 200, map[string]any{"items": all, "next": ""}
}

func (l *Ledger) openLocked(body []byte) (int, any) {
	var spec client.Account
	if err := json.Unmarshal(body, &spec); err != nil {
		return refusal(400, "malformed", err.Error())
	}
	if known := l.accounts[spec.ID]; known != nil {
		if fmt.Sprint(known.spec) != fmt.Sprint(spec) {
			return refusal(409, "id_conflict", spec.ID)
		}
		return 200, spec
	}
	l.houseLocked(spec.Currency)
	l.accounts[spec.ID] = &account{spec: spec, usage: map[usageKey]*usageSum{}}
	return 201, spec
}

func (l *Ledger) topupLocked(id string, body []byte) (int, any) {
	var in struct {
		ID     string       `json:"id"`
		Amount client.Money `json:"amount"`
	}
	a := l.accounts[id]
	if err := json.Unmarshal(body, &in); err != nil || a == nil {
		return refusal(422, "invalid", id)
	}
	content := id + " " + in.Amount.String()
	if known, again := l.topups[in.ID]; again && known != content {
		return refusal(409, "id_conflict", in.ID)
	} else if !again {
		l.topups[in.ID] = content
		l.transferLocked(l.houseLocked(a.spec.Currency), a, in.Amount.Decimal, "topup")
	}
	return 201, in
}

func (l *Ledger) readLocked(parts []string) (int, any) {
	a := l.accounts[parts[0]]
	if a == nil {
		return refusal(404, "not_found", parts[0])
	}
	if len(parts) == 1 {
		return 200, client.Balance{
			ID: a.spec.ID, Kind: a.spec.Kind, Currency: a.spec.Currency, Billing: a.spec.Billing,
			Posted: client.Money{Decimal: a.posted}, Held: client.Money{Decimal: a.held}, Parent: a.spec.Parent, Sequence: l.sequence,
		}
	}
	if parts[1] == "transfers" {
		return items(a.moves)
	}
	var rows []client.Usage
	for key, sum := range a.usage {
		rows = append(rows, client.Usage{
			Dimensions: map[string]string{"model": key.model}, Component: key.component, Day: key.day,
			Quantity: client.Money{Decimal: decimal.NewFromInt(sum.quantity)}, Amount: client.Money{Decimal: sum.amount},
		})
	}
	sort.Slice(rows, func(i, j int) bool { return fmt.Sprint(rows[i]) < fmt.Sprint(rows[j]) })
	return items(rows)
}

func (l *Ledger) putPricesLocked(version string, body []byte) (int, any) {
	var b client.Book
	if err := json.Unmarshal(body, &b); err != nil {
		return refusal(400, "malformed", err.Error())
	}
	l.books[version] = b
	return 201, map[string]string{"version": version}
}

func (l *Ledger) eventsLocked(contentType string, body []byte) (int, any) {
	all, err := splitEvents(contentType, body)
	if err != nil {
		return refusal(400, "malformed", err.Error())
	}
	answer := client.Accepted{Rejected: []client.Rejected{}}
	for i, raw := range all {
		if id, code := l.bookLocked(raw, &answer); code != "" {
			answer.Rejected = append(answer.Rejected, client.Rejected{Index: i, ID: id, Code: code})
		}
	}
	if len(all) == 1 && len(answer.Rejected) == 1 {
		return refusal(422, answer.Rejected[0].Code, "")
	}
	answer.Sequence = l.sequence
	return 200, answer
}

func (l *Ledger) bookedLocked(source, id string) (int, any) {
	source, err := url.PathUnescape(source)
	if b := l.booked[source+"\x00"+id]; b != nil && err == nil {
		return 200, b
	}
	return refusal(404, "not_found", id)
}

func (l *Ledger) settleLocked(body []byte) (int, any) {
	var in struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &in); err != nil || in.ID == "" {
		return refusal(422, "invalid", "id")
	}
	if _, again := l.closes[in.ID]; !again {
		l.closes[in.ID] = l.closeLocked()
	}
	return 201, l.closes[in.ID]
}

func (l *Ledger) batchLocked(parts []string) (int, any) {
	if len(parts) == 0 {
		var all []client.Manifest
		for _, b := range l.batches {
			all = append(all, b.manifest)
		}
		return items(all)
	}
	for _, b := range l.batches {
		if b.manifest.BatchID != parts[0] {
			continue
		}
		if len(parts) == 2 {
			return items(b.lines)
		}
		return 200, b.manifest
	}
	return refusal(404, "not_found", parts[0])
}

func (l *Ledger) trialLocked() (int, any) {
	var rows []client.Trial
	for currency, sum := range l.debits {
		m := client.Money{Decimal: sum}
		rows = append(rows, client.Trial{Currency: currency, Debits: m, Credits: m, Accounts: json.RawMessage("{}")})
	}
	return items(rows)
}
