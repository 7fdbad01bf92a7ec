package main

import (
	"strings"
	"testing"
	"time"

	"farthing/money"
)

// TestSchedule is the table of when windows close by cron expressions, in zones whose clocks are set
// forward and back.
func TestSchedule(t *testing.T) {
	f := func(expression, zone, after string, want ...string) {
		t.Helper()
		next := must(parseSchedule(expression, zone))(t)
		at := must(time.Parse(time.RFC3339, after))(t)
		for _, text := range want {
			at = next(at)
			if got := at.Format(time.RFC3339); got != text {
				t.Errorf("%s in %s: %s, want %s", expression, zone, got, text)
			}
		}
	}
	f("0 0 * * *", "", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z")
	f("@daily", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00")
	f("0 0 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00")
	// 02:30 is not there on the day on which the clock is set forward, and there twice on the other.
	f("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00")
	f("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00")
	f("30 2 * * *", "Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-26T02:30:00+01:00")
	f("30 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", "2026-04-05T01:30:00+11:00", "2026-04-06T01:30:00+10:30") // back by half an hour
	f("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", "2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30")
	f("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00")
	f("@hourly", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00")
	f("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00") // there was no midnight
	f("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00")
	f("0 0 * * *", "America/Sao_Paulo", "2018-02-17T12:00:00Z", "2018-02-18T00:00:00-03:00", "2018-02-19T00:00:00-03:00") // 23:00 was there twice
	f("0 * * * *", "America/Sao_Paulo", "2018-11-04T02:30:00Z", "2018-11-04T01:00:00-02:00", "2018-11-04T02:00:00-02:00")
	f("0 0 29 2 *", "UTC", "2026-11-01T00:00:00Z", "2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z")
	f("0 0 1 * 1", "UTC", "2026-10-23T00:00:00Z", "2026-10-26T00:00:00Z", "2026-11-01T00:00:00Z") // either day
}

func TestScheduleRefuses(t *testing.T) {
	f := func(mention, expression, zone string) {
		t.Helper()
		if _, err := parseSchedule(expression, zone); err == nil || !strings.Contains(err.Error(), mention) {
			t.Errorf("%s in %q: %v, want %q", expression, zone, err, mention)
		}
	}
	f("never fires", "0 0 30 2 *", "UTC")
	f("never fires", "0 0 31 4,6,9,11 *", "Europe/Berlin")
	f("exactly 5 fields", "0 0 * * * *", "")
	f("exactly 5 fields", "0 0", "")
	f("above maximum", "60 * * * *", "")
	f("--settle-cron", "0 0 * * XYZ", "")
	f("@reboot", "@reboot", "")
	f("--settle-every", "@every 1h", "")
	f("--settle-zone", "CRON_TZ=Europe/Berlin 0 0 * * *", "")
	f("--settle-zone", "TZ=UTC @daily", "")
	f("no time zone", "0 0 * * *", "Europe/Berlim")
	f("no time zone", "0 0 * * *", "Local")
	f("no time zone", "0 0 * * *", "../etc")
}

func TestThresholds(t *testing.T) {
	f := func(mention string, list ...string) {
		t.Helper()
		if _, err := parseThresholds(list); err == nil || !strings.Contains(err.Error(), mention) {
			t.Errorf("%q: %v, want %q", list, err, mention)
		}
	}
	f("below a minor unit", "USD=0.009")
	f("below a minor unit", "JPY=0.5")
	f("below a minor unit", "USD=-5")
	f("no currency XXX", "XXX=5")
	f("no currency usd", "usd=5")
	f("as USD=1000", "USD")
	f("as USD=1000", "USD=much")
	f("twice", "USD=5", "USD=6")
	got := must(parseThresholds([]string{"USD=0.01", "JPY=100000", "KWD=1.5"}))(t)
	for code, want := range map[string]string{"USD": "0.01", "JPY": "100000", "KWD": "1.5"} {
		if c, _ := money.Lookup(code); got[c].String() != want {
			t.Errorf("%s: %s", code, got[c])
		}
	}
	if len(got) != 3 {
		t.Errorf("%v", got)
	}
}

// TestWindowFlags: how the flags go together, and that they reach the engine.
func TestWindowFlags(t *testing.T) {
	f := func(mention string, args ...string) windows {
		t.Helper()
		c := parseServe(t, append([]string{"--data=d"}, args...)...)
		w, err := c.windows()
		if (err == nil) != (mention == "") || err != nil && !strings.Contains(err.Error(), mention) {
			t.Errorf("%q: %v, want %q", args, err, mention)
		}
		return w
	}
	if w := f(""); w.every != time.Hour || w.schedule != nil || w.thresholds != nil {
		t.Errorf("%+v", w)
	}
	if w := f("", "--settle-every=0", "--settle-threshold=USD=5,JPY=7"); w.every != 0 || len(w.thresholds) != 2 {
		t.Errorf("%+v", w)
	}
	if w := f("", "--settle-cron=0 0 * * *", "--settle-zone=Europe/Berlin"); w.every != 0 || w.schedule == nil {
		t.Errorf("%+v", w)
	}
	file := writeFile(t, "settle-cron: 0 0 * * *\nsettle-threshold: [USD=5, JPY=7]\n")
	if w := f("", "--config", file); w.schedule == nil || len(w.thresholds) != 2 {
		t.Errorf("%+v", w)
	}
	f("exclude each other", "--settle-cron=@daily", "--settle-every=1h")
	f("exclude each other", "--settle-cron=@daily", "--settle-every=0")
	f("which is not given", "--settle-zone=Europe/Berlin")
	f("shorter than 1s", "--settle-every=1ms")
	f("below a minor unit", "--settle-threshold=USD=0.001")
}
