package httpapi

import (
	"net"
	"strconv"

	"github.com/shopspring/decimal"

	"farthing/engine"
	"farthing/money"
	"farthing/refusal"
)

// Statements is what the server needs of the engine for the lines of an account.
type Statements interface {
	// Statements lists an account's lines by window. A page may have fewer items than asked
	// for and a next one.
	Statements(account, cursor string, limit int) (engine.Page[engine.StatementLine], *refusal.Refusal)
	// WindowStatement takes as long as the window has movements of the account. It calls
	// Progress from the calling goroutine and soon returns when that gives an error.
	WindowStatement(engine.StatementOptions) (engine.WindowStatement, *refusal.Refusal)
}

// statementsMax is how many statements are derived at once: each keeps a processor busy.
const statementsMax = 2

func statementRoutes() []route {
	return []route{
		{method: "GET", pattern: "/v1/accounts/{id}/statements", scope: ScopeRead, long: true, handle: (*Server).getStatements},
		// It has a gate of its own: it may take longer than the others wait.
		{method: "GET", pattern: "/v1/accounts/{id}/statements/{window}", scope: ScopeRead, handle: (*Server).getStatement},
	}
}

func (s *Server) getStatements(c *call) (answer, *refusal.Refusal) {
	return accountPage(c, s.engine.Statements, statementLineView)
}

type statementLineJSON struct {
	Window    uint64 `json:"window"`
	Time      string `json:"time"`
	Currency  string `json:"currency"`
	BatchID   string `json:"batch_id"`
	Line      uint32 `json:"line"`
	Opening   string `json:"opening"`
	Direction string `json:"direction"`
	Amount    string `json:"amount"`
	Closing   string `json:"closing"`
	Events    uint64 `json:"events"`
	Status    string `json:"status"`
}

func statementLineView(l *engine.StatementLine) any {
	return statementLineJSON{l.Window, timeText(l.Time), l.Currency.Code(), l.State.Batch, l.State.Line, l.Opening.String(), l.Direction, l.Amount.String(),
		l.Closing.String(), l.Events, l.State.Status}
}

// getStatement answers with a statement as JSON, CSV or a page.
func (s *Server) getStatement(c *call) (answer, *refusal.Refusal) {
	q := c.query("format", "currency")
	format, currency := q.statementFormat(c.ctx.Request.Header.Peek("Accept")), q.currency()
	account, no := c.param(0)
	if q.no != nil {
		no = q.no
	}
	if no != nil {
		return answer{}, no
	}
	window, no := c.window(1)
	if no != nil {
		return answer{}, no
	}
	if no := s.statements.enter(); no != nil {
		return answer{}, no
	}
	defer s.statements.leave()
	o := engine.StatementOptions{Account: account, Window: window, Currency: currency, Progress: s.wanted(c.ctx.Conn())}
	statement, no := s.engine.WindowStatement(o)
	if no != nil && s.conns.draining() {
		no = refusal.New(refusal.NotReady, "draining", "the service is stopping; try again in a moment")
	}
	if no != nil {
		return answer{}, no
	}
	c.ctx.Response.Header.Set("Vary", "Accept")
	view := statementView(&statement)
	if format == asJSON {
		return answer{200, view}, nil
	}
	return answer{}, s.sendStatement(c, view, format)
}

// wanted returns what tells long work whether somebody still waits for it.
func (s *Server) wanted(conn net.Conn) func() error {
	return func() error {
		if s.conns.draining() || gone(conn) {
			return engine.ErrAborted
		}
		return nil
	}
}

// window reads the number of a window in the path.
func (c *call) window(i int) (uint64, *refusal.Refusal) {
	text, no := c.param(i)
	if no != nil {
		return 0, no
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, refusal.New(refusal.Invalid, "invalid_window", "a window is named by its number, from 1")
	}
	return n, nil
}

// currency returns the parameter of that name; nil when it is absent.
func (q *query) currency() *money.Currency {
	if !q.values.Has("currency") {
		return nil
	}
	c, ok := money.Lookup(q.values.Get("currency"))
	if !ok {
		q.refuse("unknown_currency", "currency must be a code of ISO 4217")
	}
	return &c
}

// sendStatement answers with a statement that is no JSON.
func (s *Server) sendStatement(c *call, v *statementJSON, format statementFormat) *refusal.Refusal {
	h := &c.ctx.Response.Header
	if format == asCSV {
		if no := s.send(c, v.csv(), false); no != nil {
			return no
		}
		h.SetContentType("text/csv; charset=utf-8; header=present")
		h.Set("Content-Disposition", `attachment; filename="`+v.fileName()+`.csv"`)
	} else {
		if no := s.send(c, v.html(), false); no != nil {
			return no
		}
		h.SetContentType("text/html; charset=utf-8")
		h.Set("Content-Security-Policy", statementPolicy)
		h.Set("Referrer-Policy", "no-referrer")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	return nil
}

// statementJSON is a statement as it is shown. Amounts are in the account's favour.
type statementJSON struct {
	Account       string               `json:"account"`
	Kind          string               `json:"kind"`
	Currency      string               `json:"currency"`
	Window        uint64               `json:"window"`
	From          *string              `json:"from"`
	To            string               `json:"to"`
	FirstSequence uint64               `json:"first_sequence"`
	LastSequence  uint64               `json:"last_sequence"`
	Line          lineStateJSON        `json:"line"`
	Events        uint64               `json:"events"`
	GrossDebits   string               `json:"gross_debits"`
	GrossCredits  string               `json:"gross_credits"`
	Opening       string               `json:"opening"`
	Usage         []statementUsageJSON `json:"usage"`
	Fees          []statementItemJSON  `json:"fees"`
	Losses        []statementItemJSON  `json:"losses"`
	Credits       []statementItemJSON  `json:"credits"`
	Charges       []statementItemJSON  `json:"charges"`
	Corrections   []statementUsageJSON `json:"corrections"`
	Returned      []statementItemJSON  `json:"returned"`
	Payments      []statementItemJSON  `json:"payments"`
	Closing       string               `json:"closing"`
	Totals        map[string]string    `json:"totals"`

	sections []statementSection
}

type statementUsageJSON struct {
	Kind      string  `json:"kind"`
	Meter     string  `json:"meter"`
	Model     *string `json:"model"`
	Component string  `json:"component"`
	Rest      bool    `json:"rest,omitempty"`
	Events    uint64  `json:"events"`
	Quantity  *string `json:"quantity"`
	Amount    string  `json:"amount"`
}

type statementItemJSON struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
	Amount string `json:"amount"`
}

// statementSection is a part of a statement: rows of usage, or items.
type statementSection struct {
	Key   string
	Usage []statementUsageJSON
	Items []statementItemJSON
	Total string
}

// Empty is for the page, which leaves such a section out.
func (s statementSection) Empty() bool { return len(s.Usage)+len(s.Items) == 0 }

func statementView(s *engine.WindowStatement) *statementJSON {
	v := &statementJSON{
		Account: s.Account, Kind: s.Kind, Currency: s.Currency.Code(), Window: s.Window, From: timeOrNull(s.From), To: timeText(s.To),
		FirstSequence: s.FirstSequence, LastSequence: s.Cut, Line: lineStateView(&s.State), Events: s.Events,
		GrossDebits: s.GrossDebits.String(), GrossCredits: s.GrossCredits.String(), Opening: s.Opening.String(), Closing: s.Closing.String(),
		Totals: map[string]string{},
	}
	v.Usage = v.usage("usage", s.Usage)
	v.Fees = v.items("fees", s.Fees)
	v.Losses = v.items("losses", s.Losses)
	v.Credits = v.items("credits", s.Credits)
	v.Charges = v.items("charges", s.Charges)
	v.Corrections = v.usage("corrections", s.Corrections)
	v.Returned = v.items("returned", s.Returned)
	v.Payments = v.items("payments", s.Payments)
	return v
}

func (v *statementJSON) usage(key string, rows []engine.StatementUsage) []statementUsageJSON {
	out, total := make([]statementUsageJSON, 0, len(rows)), decimal.Decimal{}
	for i := range rows {
		r := &rows[i]
		out = append(out, statementUsageJSON{r.Kind, r.Meter, r.Model, r.Component, r.Rest, r.Events, textOrNull(r.Quantity), r.Amount.String()})
		total = total.Add(r.Amount.Decimal())
	}
	v.section(statementSection{Key: key, Usage: out}, total)
	return out
}

func (v *statementJSON) items(key string, items []engine.StatementItem) []statementItemJSON {
	out, total := make([]statementItemJSON, 0, len(items)), decimal.Decimal{}
	for _, i := range items {
		out = append(out, statementItemJSON{i.Reason, i.Count, i.Amount.String()})
		total = total.Add(i.Amount.Decimal())
	}
	v.section(statementSection{Key: key, Items: out}, total)
	return out
}

func (v *statementJSON) section(s statementSection, total decimal.Decimal) {
	s.Total = total.String()
	v.Totals[s.Key] = s.Total
	v.sections = append(v.sections, s)
}

type lineStateJSON struct {
	BatchID   string `json:"batch_id"`
	Line      uint32 `json:"line"`
	Account   string `json:"account"`
	Currency  string `json:"currency"`
	Direction string `json:"direction"`
	Amount    string `json:"amount"`
	Open      string `json:"open"`
	Paid      string `json:"paid"`
	Failed    string `json:"failed"`
	Returned  string `json:"returned"`
	Status    string `json:"status"`
}

func lineStateView(l *engine.LineState) lineStateJSON {
	return lineStateJSON{l.Batch, l.Line, l.Account, l.Currency.Code(), l.Direction, l.Amount.String(), l.Open.String(), l.Paid.String(), l.Failed.String(),
		l.Returned.String(), l.Status}
}
