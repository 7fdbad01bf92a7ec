package httpapi

import (
	"bytes"
	_ "embed"
	"html/template"
	"strings"
)

// statementPolicy lets a browser load nothing for a statement's page and run nothing in it.
const statementPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed statement.html
var statementPage string

var statementTemplate = template.Must(template.New("statement").Funcs(template.FuncMap{"title": statementTitle, "state": statementState}).Parse(statementPage))

// statementTitles are the words of a page for sections and reasons that do not read well as they
// are.
var statementTitles = map[string]string{
	"losses": "Borne by the operator", "corrections": "Corrections of earlier usage", "returned": "Returned from earlier windows",
	"charges": "Other charges", "credits": "Credits", "payments": "Settlement",
	"topup": "Top-ups", "grant": "Grants", "move": "Moves of credit", "refund": "Refunds", "expiry": "Expired credit",
	"subscription": "Subscription", "subscription_credit": "Subscription, given back", "capture": "Captures by amount",
	"fee": "Operator's fee", "void_fee": "Operator's fee of voids", "rerate_fee": "Operator's fee of rerates",
	"loss": "Usage not charged", "void_loss": "Of voids", "rerate_loss": "Of rerates",
	"late": "Rated late", "void": "Voided", "rerate": "Rated anew", "usage": "Usage",
	"collection": "Collected from the account", "payout": "Paid out to the account",
	"failed": "Payments that failed", "pay": "to be paid out", "collect": "to be collected", "none": "nothing to pay or collect",
}

// statementStates are the words of a page for how a line's amount stands.
var statementStates = map[string]string{
	"open": "no result yet", "paid": "paid", "partially_paid": "paid in part", "failed": "failed, and given back", "returned": "paid, and returned",
}

func statementState(status string) string { return statementStates[status] }

func statementTitle(word string) string {
	if title, ok := statementTitles[word]; ok {
		return title
	}
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + strings.ReplaceAll(word[1:], "_", " ")
}

// Sections are the parts of the statement in their order.
func (v *statementJSON) Sections() []statementSection { return v.sections }

// ComponentName is for the page.
func (u statementUsageJSON) ComponentName() string { return u.component() }

// html writes a statement as one page that stands alone.
func (v *statementJSON) html() []byte {
	var out bytes.Buffer
	if err := statementTemplate.Execute(&out, v); err != nil {
		panic("BUG: a statement's page: " + err.Error())
	}
	return out.Bytes()
}
