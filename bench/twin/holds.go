package twin

import (
	"encoding/json"
	"net/url"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// hold is a reservation on an account and all above it.
type hold struct {
	content string
	account *account
	amount  decimal.Decimal
	state   string // held, captured
	capture string // content of its capture
	answer  client.Captured
}

// wireHold is a hold as it comes in.
type wireHold struct {
	ID       string        `json:"id"`
	Account  string        `json:"account"`
	Amount   *client.Money `json:"amount"`
	Estimate *struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	} `json:"estimate"`
}

// wireCapture is a capture as it comes in.
type wireCapture struct {
	Hold  string          `json:"hold"`
	Event json.RawMessage `json:"event"`
}

// chain is an account and all above it; the last one is the root.
func (l *Ledger) chain(a *account) []*account {
	nodes := []*account{a}
	for a.spec.Parent != "" {
		a = l.accounts[a.spec.Parent]
		nodes = append(nodes, a)
	}
	return nodes
}

func (l *Ledger) rootOf(a *account) *account {
	nodes := l.chain(a)
	return nodes[len(nodes)-1]
}

func statusOf(code string) int {
	switch code {
	case "insufficient_funds":
		return 402
	case "not_found":
		return 404
	case "invalid":
		return 422
	}
	return 409
}

// operations answers a body of one operation or of a list of them. What one returns is the
// answer to a single one, or a code when it is refused.
func operations(body []byte, counter string, sequence *uint64, one func(raw json.RawMessage) (created bool, answer any, code string)) (int, any) {
	all, err := splitEvents("application/json", body)
	if err != nil {
		return refusal(400, "malformed", err.Error())
	}
	done, duplicates, rejected := 0, 0, []client.Rejected{}
	for i, raw := range all {
		created, answer, code := one(raw)
		switch {
		case code != "" && len(all) == 1:
			return refusal(statusOf(code), code, "")
		case code != "":
			rejected = append(rejected, client.Rejected{Index: i, Code: code})
		case body[0] != '[' && created:
			return 201, answer
		case body[0] != '[':
			return 200, answer
		case created:
			done++
		default:
			duplicates++
		}
	}
	return 200, map[string]any{counter: done, "duplicates": duplicates, "rejected": rejected, "sequence": *sequence}
}

func (l *Ledger) holdsLocked(body []byte) (int, any) {
	return operations(body, "held", &l.sequence, func(raw json.RawMessage) (bool, any, string) {
		var in wireHold
		if json.Unmarshal(raw, &in) != nil || (in.Amount == nil) == (in.Estimate == nil) || l.accounts[in.Account] == nil {
			return false, nil, "invalid"
		}
		h, again := l.holds[in.ID]
		if !again {
			h = &hold{content: string(raw), account: l.accounts[in.Account], state: "held"}
			amount, ok := l.askedLocked(&in, h.account)
			root := l.rootOf(h.account)
			if !ok || amount.GreaterThan(root.posted.Sub(root.held)) {
				return false, nil, "insufficient_funds"
			}
			h.amount = amount
			for _, node := range l.chain(h.account) {
				node.held = node.held.Add(amount)
			}
			l.sequence++
			l.holds[in.ID] = h
		}
		if h.content != string(raw) {
			return false, nil, "id_conflict"
		}
		expires := l.Now().Add(time.Minute)
		return !again, client.Held{ID: in.ID, Account: in.Account, State: h.state, Amount: client.Money{Decimal: h.amount}, Expires: &expires}, ""
	})
}

// askedLocked is what a hold reserves.
func (l *Ledger) askedLocked(in *wireHold, a *account) (decimal.Decimal, bool) {
	if in.Amount != nil {
		return in.Amount.Decimal, true
	}
	e := wireEvent{Type: in.Estimate.Type}
	if json.Unmarshal(in.Estimate.Data, &e.Data) != nil {
		return decimal.Zero, false
	}
	usage, ok := quantities(e)
	price := l.priceLocked(e.Type, a.spec.Currency, e.Data.Model, l.Now())
	if !ok || price == nil {
		return decimal.Zero, false
	}
	total, _, ok := rate(price, usage)
	return total, ok
}

// capturesLocked captures the hold named in the path, or the holds that the body names.
func (l *Ledger) capturesLocked(path string, body []byte) (int, any) {
	return operations(body, "captured", &l.sequence, func(raw json.RawMessage) (bool, any, string) {
		var in wireCapture
		if json.Unmarshal(raw, &in) != nil || in.Event == nil {
			return false, nil, "invalid"
		}
		if path != "" {
			in.Hold, _ = url.PathUnescape(path)
		}
		h := l.holds[in.Hold]
		if h == nil {
			return false, nil, "not_found"
		}
		if h.state == "captured" {
			if h.capture != string(raw) {
				return false, nil, "hold_conflict"
			}
			return false, h.answer, ""
		}
		var booked client.Accepted
		if _, code := l.bookLocked(in.Event, &booked); code != "" || booked.Duplicates > 0 {
			return false, nil, "id_conflict"
		}
		for _, node := range l.chain(h.account) {
			node.held = node.held.Sub(h.amount)
		}
		h.state, h.capture = "captured", string(raw)
		h.answer = client.Captured{Hold: in.Hold, State: h.state, Sequence: l.sequence}
		return true, h.answer, ""
	})
}

// limitsLocked keeps the limits of an account, or shows them; nothing is refused for them.
func (l *Ledger) limitsLocked(id string, body []byte) (int, any) {
	a := l.accounts[id]
	if a == nil {
		return refusal(404, "not_found", id)
	}
	if len(body) > 0 {
		var in struct {
			Limits []client.Limit `json:"limits"`
		}
		if err := json.Unmarshal(body, &in); err != nil {
			return refusal(400, "malformed", err.Error())
		}
		a.limits = in.Limits
	}
	out := client.Limits{Account: id, Currency: a.spec.Currency}
	for _, limit := range a.limits {
		out.Limits = append(out.Limits, client.LimitUsed{Limit: limit, Spent: client.Money{Decimal: a.spent}, Held: client.Money{Decimal: a.held}, Calls: a.calls})
	}
	return 200, out
}
