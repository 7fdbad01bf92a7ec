package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones, also where the system has none

	"github.com/netresearch/go-cron"

	"farthing/money"
)

// windowFlags say when settlement windows close without being asked to.
type windowFlags struct {
	SettleEvery     *time.Duration `help:"Close the settlement window on UTC multiples of this, from 1s; 0: not by an interval. Default: 1h, without --settle-cron."`
	SettleCron      string         `help:"Close it when this cron expression says, instead of --settle-every: minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly." placeholder:"CRON"`
	SettleZone      string         `help:"Time zone of --settle-cron, as Europe/Berlin. Default: UTC." placeholder:"ZONE"`
	SettleThreshold []string       `help:"Close it, for everyone, when what one customer owes or one provider is to be paid reaches this, by currency: USD=1000,JPY=100000." placeholder:"CUR=AMOUNT"`
}

// settleEveryDefault is --settle-every where neither that nor --settle-cron is given.
const settleEveryDefault = time.Hour

// windows is what the flags come to.
type windows struct {
	every      time.Duration
	schedule   func(time.Time) time.Time
	thresholds map[money.Currency]money.Amount
}

// windows reports everything that is wrong with the flags.
func (f *windowFlags) windows() (windows, error) {
	var w windows
	var problems []error
	switch {
	case f.SettleCron != "":
		if f.SettleEvery != nil {
			problems = append(problems, errors.New("--settle-cron and --settle-every exclude each other"))
		}
		var err error
		if w.schedule, err = parseSchedule(f.SettleCron, f.SettleZone); err != nil {
			problems = append(problems, err)
		}
	case f.SettleEvery == nil:
		w.every = settleEveryDefault
	default:
		if w.every = *f.SettleEvery; w.every != 0 && w.every < time.Second {
			problems = append(problems, fmt.Errorf("--settle-every=%v is shorter than 1s", w.every))
		}
	}
	if f.SettleZone != "" && f.SettleCron == "" {
		problems = append(problems, errors.New("--settle-zone is the zone of --settle-cron, which is not given"))
	}
	var err error
	if w.thresholds, err = parseThresholds(f.SettleThreshold); err != nil {
		problems = append(problems, err)
	}
	return w, errors.Join(problems...)
}

// parseThresholds reads amounts by currency.
func parseThresholds(list []string) (map[money.Currency]money.Amount, error) {
	if len(list) == 0 {
		return nil, nil
	}
	var problems []error
	out := map[money.Currency]money.Amount{}
	for _, text := range list {
		code, number, ok := strings.Cut(text, "=")
		c, known := money.Lookup(code)
		amount, err := money.Parse(number)
		units, _ := amount.Cut(c.Digits())
		switch {
		case !ok || err != nil:
			err = fmt.Errorf("want a currency and an amount, as USD=1000")
		case !known:
			err = fmt.Errorf("there is no currency %s", code)
		case units.Sign() <= 0:
			err = fmt.Errorf("the amount is below a minor unit of %s", code)
		case !out[c].IsZero():
			err = fmt.Errorf("%s is given twice", code)
		default:
			out[c] = amount
			continue
		}
		problems = append(problems, fmt.Errorf("--settle-threshold %q: %w", text, err))
	}
	return out, errors.Join(problems...)
}

// cronParser takes the five fields that every cron knows; where both days are given, either may match.
var cronParser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom | cron.Descriptor)

// parseSchedule makes a schedule of a cron expression in a zone. An expression that never fires is
// an error.
func parseSchedule(expression, zone string) (func(time.Time) time.Time, error) {
	if zone == "" {
		zone = "UTC"
	}
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" { // which would depend on the machine
		return nil, fmt.Errorf("--settle-zone: there is no time zone %q", zone)
	}
	if strings.Contains(expression, "TZ=") || strings.HasPrefix(expression, "@every") {
		return nil, fmt.Errorf("--settle-cron %q: give the zone with --settle-zone, an interval with --settle-every", expression)
	}
	parsed, err := cronParser.Parse(expression)
	if err != nil {
		return nil, fmt.Errorf("--settle-cron %q: %w", expression, err)
	}
	next := onTheClock(parsed, location)
	if everyHour(expression) {
		next = func(after time.Time) time.Time { return parsed.Next(after.In(location)) }
	}
	if next(time.Now()).IsZero() {
		return nil, fmt.Errorf("--settle-cron %q never fires", expression)
	}
	return next, nil
}

// everyHour reports whether an expression goes by hours that pass, and so fires in both of an hour that
// the clock shows twice.
func everyHour(expression string) bool {
	fields := strings.Fields(expression)
	return expression == "@hourly" || len(fields) == 5 && strings.HasPrefix(fields[1], "*")
}

// onTheClock makes a schedule of times of day, each of which comes once: of one that the clock shows
// twice the first counts, and one that it skips comes as much later as it skips.
func onTheClock(parsed cron.Schedule, location *time.Location) func(time.Time) time.Time {
	return func(after time.Time) time.Time {
		shown := asShown(after.In(location))
		for {
			if shown = parsed.Next(shown); shown.IsZero() {
				return shown
			}
			if t := whenShown(shown, location); t.After(after) {
				return t
			}
		}
	}
}

// asShown is what a clock shows, as if it were UTC.
func asShown(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// whenShown is when a clock of the location shows that. time.Date does not say what it makes of a time
// that is there twice or not at all.
func whenShown(shown time.Time, location *time.Location) time.Time {
	at := func(near time.Duration) time.Time {
		_, offset := shown.Add(near).In(location).Zone()
		return shown.Add(-time.Duration(offset) * time.Second).In(location)
	}
	before, after := at(-24*time.Hour), at(24*time.Hour)
	if asShown(after).Equal(shown) && !asShown(before).Equal(shown) {
		return after
	}
	return before
}
