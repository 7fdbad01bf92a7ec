package engine

import (
	"fmt"
	"strconv"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// commandNames are the kinds as exports call them.
var commandNames = [...]string{
	kindGenesis: "genesis", kindSource: "source", kindShape: "shape", kindAccount: "account", kindPrices: "prices", kindTopUp: "topup",
	kindCut: "cut", kindClosing: "closing", kindSeal: "seal", kindRerate: "rerate", kindRerated: "rerate_end",
	kindGrant: "grant", kindGrantEnd: "grant_end", kindRefund: "refund", kindMove: "move", kindStatus: "status", kindLimits: "limits",
	kindSettings: "settings", kindNotice: "notification", kindAsk: "topup_request", kindReply: "topup_request_answer",
	kindSubscribe: "subscription", kindChange: "subscription_change", kindPeriod: "subscription_period", kindHold: "hold",
	kindExtend: "hold_extension", kindCapture: "hold_capture", kindRelease: "hold_void", kindExpire: "hold_expiry", kindLook: "look",
	kindResult: "result", kindKey: "key", kindForget: "forget", kindBase: "base",
}

var amendNames = [...]string{amendRated: "event_rated", amendVoid: "event_void", amendRerated: "event_rerated"}

// commandName is the name of a kind, one that has none is called by its number.
func commandName(kind byte) string {
	if int(kind) < len(commandNames) && commandNames[kind] != "" {
		return commandNames[kind]
	}
	return fmt.Sprintf("command_%02x", kind)
}

// columns makes the columns of commands. Texts of shapes are kept, since events share them.
type columns struct {
	dims map[uint32]string
	buf  []byte
}

func (x *columns) genesis(s *state) CommandColumns {
	return CommandColumns{Kind: commandName(kindGenesis), ID: s.genesis.ledgerID, EventTime: NoEventTime,
		Detail: fmt.Sprintf(`{"format":%d,"partition":%d}`, s.genesis.version, s.genesis.partition)}
}

// of returns what the current command of a cursor says.
func (x *columns) of(c *cursor) (out CommandColumns, err error) {
	out.EventTime = NoEventTime
	if c.isEvent() {
		x.event(&out, &c.event, c.t)
		return out, nil
	}
	out.Kind = commandName(c.kind)
	r := reader{p: c.payload}
	switch c.kind {
	case kindSource:
		out.Source = string(c.payload)
		return out, nil
	case kindShape:
		shape, err := meter.ParseShape(c.payload)
		out.Meter, out.Dimensions = shape.Type, x.object(shape.Dimensions)
		return out, err
	case kindAmend:
		return out, x.amendment(&out, c)
	case kindAccount, kindPrices, kindTopUp, kindRerate, kindCut, kindClosing, kindSeal, kindForget, kindBase:
		x.plain(&out, c, &r)
	case kindHold, kindExtend, kindCapture, kindRelease, kindExpire:
		x.hold(&out, c, &r)
	default:
		b := parseBooking(c.kind, &r)
		if b == nil {
			return out, nil // its bytes say it
		}
		if r.bad {
			return out, errCodec
		}
		x.booking(&out, c, b)
	}
	return out, r.end()
}

func (x *columns) event(out *CommandColumns, e *eventRecord, t *tables) {
	out.Kind = "event"
	x.said(out, e, t)
	if e.reason != priced {
		shape, _ := meter.ParseShape(e.raw) // it was parsed when it was decoded
		out.Unpriced = e.reason.String()
		x.shape(out, &shape, e)
		return
	}
	out.Version = t.versions[e.version].Version.ID
	out.Amount, out.HasAmount = e.amount, true
	x.rated(out, e, t)
}

// said is what was said of an event, but for its usage.
func (x *columns) said(out *CommandColumns, e *eventRecord, t *tables) {
	x.account(out, e.account, t)
	out.Source, out.ID, out.EventTime = string(e.source), string(e.id), e.time
	out.Hold = string(e.hold.id)
}

// rated is the usage of a rating.
func (x *columns) rated(out *CommandColumns, e *eventRecord, t *tables) {
	if len(e.extras) > 0 {
		shape := fullShape(e, t)
		x.shape(out, &shape, e)
		return
	}
	shape := &t.shapes[e.shape].shape
	out.Meter, out.Usage = shape.Type, x.usage(shape.Components, e)
	text, ok := x.dims[e.shape]
	if !ok {
		if x.dims == nil {
			x.dims = map[uint32]string{}
		}
		text = x.object(shape.Dimensions)
		x.dims[e.shape] = text
	}
	out.Dimensions = text
}

func (x *columns) shape(out *CommandColumns, s *meter.Shape, e *eventRecord) {
	out.Meter, out.Dimensions, out.Usage = s.Type, x.object(s.Dimensions), x.usage(s.Components, e)
}

func (x *columns) object(dims []meter.Dimension) string {
	b := append(x.buf[:0], '{')
	for i, d := range dims {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(appendText(b, d.Key), ':'), d.Value)
	}
	x.buf = append(b, '}')
	return string(x.buf)
}

func (x *columns) usage(components []string, e *eventRecord) string {
	b := append(x.buf[:0], '{')
	for i, c := range components {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, c), ':', '"')
		b = append(e.quantities[i].AppendText(b), '"')
	}
	x.buf = append(b, '}')
	return string(x.buf)
}

// account sets an account and its currency.
func (x *columns) account(out *CommandColumns, ref ledger.Ref, t *tables) {
	if int(ref) < len(t.people) {
		out.Account, out.Currency = t.people[ref].ID, t.people[ref].Currency.Code()
	}
}

func (out *CommandColumns) moves(amount money.Amount) { out.Amount, out.HasAmount = amount, true }

// amendment shows what an amendment moves in all: the new rating and what was taken back of the old one.
func (x *columns) amendment(out *CommandColumns, c *cursor) error {
	a, err := c.amendment()
	if err != nil {
		return err
	}
	e := &a.old
	if int(a.op) < len(amendNames) {
		out.Kind = amendNames[a.op]
	}
	x.said(out, e, c.t)
	out.Origin = a.origin
	moved, ok := money.Amount{}, true
	if e.reason == priced {
		moved = e.amount
		out.Version = c.t.versions[e.version].Version.ID
		x.rated(out, e, c.t)
	}
	if a.op.rates() {
		moved, ok = moved.Add(a.new.amount)
		out.Version = c.t.versions[a.new.version].Version.ID
		x.rated(out, &a.new, c.t)
	}
	if !ok {
		return errCodec
	}
	if e.reason == priced || a.op.rates() {
		out.moves(moved)
	}
	if a.op == amendVoid {
		out.Detail = detail("id", a.id, "reason", a.reason)
	}
	return nil
}

// plain shows commands that are neither bookings nor of holds.
func (x *columns) plain(out *CommandColumns, c *cursor, r *reader) {
	switch c.kind {
	case kindAccount:
		p := r.participant()
		out.Account, out.Currency = p.ID, p.Currency.Code()
		out.Detail = detail("kind", p.Kind.String(), "metadata", p.Metadata)
	case kindPrices:
		out.Version = r.str()
		out.Detail = r.str()
	case kindTopUp:
		u := r.topUp()
		x.account(out, u.account, c.t)
		out.ID = u.id
		out.moves(u.amount)
		out.Detail = detail("reference", u.reference)
	case kindRerate:
		j := r.rerate()
		out.ID = j.id
		if int(j.version) < len(c.t.versions) {
			out.Version = c.t.versions[j.version].Version.ID
		}
	case kindForget:
		out.Detail = `{"through":` + strconv.FormatUint(r.uvarint(), 10) + `}`
	case kindBase:
		p := r.droppedPart()
		out.Detail = `{"through":` + strconv.FormatUint(p.through, 10) + `,"manifest":"` + hexID(p.manifest) + `"}`
	case kindCut:
		cut := r.cut()
		out.ID, out.Window = cut.id, cut.window
	case kindClosing:
		s := r.closing()
		out.Window, out.Currency = s.window, s.currency.Code()
		out.Detail = `{"lines":` + strconv.Itoa(len(s.lines)) + `,"first_line":` + strconv.FormatUint(uint64(s.first), 10) + `}`
	case kindSeal:
		s := r.seal()
		out.Window = s.window
		b := append(x.buf[:0], `{"batches":[`...)
		for i := range s.batches {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, hexID(s.batches[i].id))
		}
		x.buf = append(b, "]}"...)
		out.Detail = string(x.buf)
	}
}

func (x *columns) hold(out *CommandColumns, c *cursor, r *reader) {
	switch c.kind {
	case kindHold:
		p := r.holdPlan(c.t)
		x.account(out, p.account, c.t)
		out.ID, out.Hold = string(p.id), string(p.id)
		out.moves(p.amount)
		if p.denied != nil {
			out.Detail = `{"refused":true}`
		}
	case kindExtend:
		e := r.extension(c.t)
		x.account(out, e.plan.account, c.t)
		out.ID, out.Hold = e.name, string(e.plan.id)
		out.moves(e.plan.amount)
	case kindCapture:
		p := r.amountCapture(c.t)
		x.account(out, p.account, c.t)
		out.Hold = string(p.held.id)
		out.moves(p.amount)
	case kindRelease:
		v := r.holdVoid(c.t)
		x.account(out, v.account, c.t)
		out.Hold = string(v.held.id)
	case kindExpire:
		out.Detail = `{"holds":` + strconv.Itoa(len(r.expiry().holds)) + `}`
	}
}

// booking shows a command of prepaid credit.
func (x *columns) booking(out *CommandColumns, c *cursor, b booking) {
	if named, ok := b.(identified); ok {
		out.ID = named.id()
	}
	at := func(ref ledger.Ref, amount money.Amount) {
		x.account(out, ref, c.t)
		out.moves(amount)
	}
	switch b := b.(type) {
	case *giveGrant:
		at(b.account, b.amount)
	case *grantEnd:
		at(b.account, b.amount)
		out.ID = b.name
	case *refund:
		at(b.account, b.amount)
	case *move:
		at(b.from, b.amount)
		if int(b.to) < len(c.t.people) {
			out.Detail = detail("to", c.t.people[b.to].ID)
		}
	case *statusChange:
		x.account(out, b.account, c.t)
		out.Detail = detail("status", b.to.String(), "reason", b.reason)
	case *setLimits:
		x.account(out, b.account, c.t)
	case *setSettings:
		x.account(out, b.account, c.t)
	case *notice:
		x.account(out, b.account, c.t)
		out.Detail = detail("number", strconv.FormatUint(b.number, 10), "type", noticeNames[b.what], "data", b.data)
	case *ask:
		at(b.account, b.amount)
	case *reply:
		x.account(out, b.account, c.t)
		if b.paid {
			out.moves(b.amount)
		}
	case *subscribe:
		x.account(out, b.account, c.t)
	case *planPeriod:
		at(b.account, b.price)
	case *lineResult:
		at(b.account, b.amount)
		out.Detail = detail("line", strconv.FormatUint(uint64(b.line), 10), "status", b.status.String(), "reference", b.reference)
	}
}

// detail is a JSON object of texts.
func detail(pairs ...string) string {
	b := []byte{'{'}
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(appendText(b, pairs[i]), ':'), pairs[i+1])
	}
	return string(append(b, '}'))
}
