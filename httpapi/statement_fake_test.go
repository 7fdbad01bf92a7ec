package httpapi

import (
	"strconv"

	"farthing/engine"
	"farthing/refusal"
)

var someLine = engine.LineState{Batch: someBatch, Line: 3, Account: "acme", Currency: usd, Direction: "collect", Amount: amount("12.34"), Open: amount("12.34"), Status: "open"}

const someBatch = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// someStatement has something in every part. It adds up.
func someStatement() engine.WindowStatement {
	model, formula := "gpt-4o", "=cmd|' /C calc'!A0"
	return engine.WindowStatement{Account: "acme", Kind: "customer", Currency: usd, Window: 7, From: someTime, To: someTime.Add(3600e9), FirstSequence: 10, Cut: 99,
		State: someLine, Direction: "collect", Amount: amount("12.34"), Opening: amount("-1.5"), Closing: amount("0.0025"), GrossDebits: amount("21.3375"), GrossCredits: amount("10"),
		Events: 12,
		Usage: []engine.StatementUsage{
			{Kind: "usage", Meter: "llm.tokens", Model: &model, Component: "input", Events: 9, Quantity: "1200000.5", Amount: amount("-15.25")},
			{Kind: "usage", Meter: "llm.tokens", Model: &formula, Component: "<b>&", Events: 2, Quantity: "7", Amount: amount("-1")},
			{Kind: "usage", Meter: "api.calls", Component: "call", Events: 1, Quantity: "1", Amount: amount("-0.0875")},
			{Kind: "usage", Rest: true, Events: 3, Amount: amount("-2")}},
		Losses:      []engine.StatementItem{{Reason: "loss", Count: 1, Amount: amount("0.5")}},
		Credits:     []engine.StatementItem{{Reason: "topup", Count: 2, Amount: amount("10")}},
		Charges:     []engine.StatementItem{{Reason: "subscription", Count: 1, Amount: amount("-5")}},
		Corrections: []engine.StatementUsage{{Kind: "void", Meter: "llm.tokens", Model: &model, Component: "input", Events: 1, Quantity: "-100", Amount: amount("1.5")}},
		Returned:    []engine.StatementItem{{Reason: "failed", Count: 1, Amount: amount("0.5")}},
		Payments:    []engine.StatementItem{{Reason: "collection", Count: 1, Amount: amount("12.34")}},
	}
}

func (f *fakeEngine) Statements(account, cursor string, limit int) (engine.Page[engine.StatementLine], *refusal.Refusal) {
	return engine.Page[engine.StatementLine]{Items: []engine.StatementLine{{Window: 7, Time: someTime, Currency: usd, Opening: amount("-1.5"), Closing: amount("0.0025"),
		Direction: "collect", Amount: amount("12.34"), Events: 12, State: someLine}}, Next: "n"}, f.note(account, cursor, strconv.Itoa(limit))
}

func (f *fakeEngine) WindowStatement(o engine.StatementOptions) (engine.WindowStatement, *refusal.Refusal) {
	currency := ""
	if o.Currency != nil {
		currency = o.Currency.Code()
	}
	if f.derive != nil {
		if err := f.derive(o.Progress); err != nil {
			return engine.WindowStatement{}, refusal.New(refusal.Timeout, "aborted", "the caller went away")
		}
	}
	s := someStatement()
	s.Account = o.Account
	return s, f.note(o.Account, strconv.FormatUint(o.Window, 10), currency)
}
