package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"farthing/bench/client"

	"github.com/jedib0t/go-pretty/v6/table"
)

// credit prints what the organisation's agents did, and what was told of it.
func (p *demoPrinter) credit(c *demoCredit) {
	rows := make([]table.Row, len(c.deeds))
	var refused []string
	for i, d := range c.deeds {
		row := table.Row{d.call.id, d.call.model, d.held, "", "", "", "", d.available, d.call.remark}
		switch {
		case d.refused != nil:
			row[2] = "refused"
			refused = append(refused, fmt.Sprintf("%s: %s of %s, asked %s, left %s", d.call.id, d.refused.Limit, d.refused.Account, d.refused.Asked, d.refused.Left))
		case d.captured != nil:
			row[3], row[4], row[5], row[6] = d.captured.Charged, d.captured.Released, d.grant, d.paid
		case d.call.account == "":
			row[2] = ""
		default: // it expired
			row[4] = d.held
		}
		rows[i] = row
	}
	plan := c.world.plan
	fmt.Fprintf(p.w, "\nPrepaid credit in USD: %s pays, below it the team %s, below that the agent %s\n\n", demoOrg, demoTeam, demoBot)
	p.say("credit", "paid %s, and a promo grant of %s for %s alone, until %s", plan.topUp, plan.grant, plan.model, plan.expires.Format("2006-01-02"))
	p.say("top-up", "below %s available credit.low is told; below %s a top-up of %s is requested", plan.low, plan.threshold, plan.refill)
	p.say("limits", "%s: %s per %s (%s); %s: %s per call (%s), and on trial (shadow) %s per call", demoTeam, plan.budget, plan.per, demoBudget, demoBot, plan.perCall, demoPerCall, plan.trial)
	p.table("Calls: each holds what it is estimated at, then is charged what it used",
		table.Row{"call", "model", "held", "charged", "released", "of grant", "of paid", "available", "what happens"}, rows, 3, 4, 5, 6, 7, 8)
	fmt.Fprintf(p.w, "(available: paid credit of %s that nothing holds; the grant is not for all usage, so it is not in it)\n\n", demoOrg)
	p.list("refused", refused)
	p.say("grants", "GET /v1/accounts/%s/grants", demoOrg)
	for _, g := range c.grants {
		p.say("", "%s (%s) of %s: used %s, remaining %s, %s", g.ID, g.Kind, g.Amount, g.Used, g.Remaining, g.State)
	}
	p.say("shadow", "GET /v1/accounts/%s/limits", demoBot)
	p.say("", "%s refused nothing; it would have refused %d of %d holds: %s", demoTrial, c.trial.WouldHaveRefused, c.purse.seen, strings.Join(c.trial.Recent, ", "))
	told := []string{"GET /v1/notifications"}
	for _, n := range c.notices {
		told = append(told, fmt.Sprintf("%d %-15s %s", n.Sequence, n.Type, noticeText(n)))
	}
	p.list("told", told)
}

func (p *demoPrinter) say(what, format string, args ...any) {
	fmt.Fprintf(p.w, "  %-9s %s\n", what, fmt.Sprintf(format, args...))
}

// list prints lines with the name before the first.
func (p *demoPrinter) list(what string, lines []string) {
	for _, line := range lines {
		p.say(what, "%s", line)
		what = ""
	}
}

// noticeText is what a notification says, in words.
func noticeText(n client.Notification) string {
	var data demoNotice
	if err := json.Unmarshal(n.Data, &data); err != nil {
		return string(n.Data)
	}
	switch n.Type {
	case "hold.expired":
		return fmt.Sprintf("%s: %s gives %s back", n.Account, data.Hold, data.Amount)
	case "credit.low":
		return fmt.Sprintf("%s: %s available, below %s", n.Account, data.Available, data.Threshold)
	case "topup.requested":
		return fmt.Sprintf("%s: %s, as %s is available; %s", n.Account, data.Amount, data.Available, data.Request)
	case "limit.reached":
		return fmt.Sprintf("%s: %s, %s per %s, by %s", n.Account, data.Limit, data.Amount, data.Per, data.Hold)
	}
	return string(n.Data)
}
