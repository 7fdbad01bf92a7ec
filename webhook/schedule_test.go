package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is an endpoint without a network: it notes when it was tried and what for.
type scripted struct {
	began  time.Time // set while nothing is delivered
	mu     sync.Mutex
	made   []string
	answer func(try int) (*http.Response, error)
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, fmt.Sprintf("%s %v", strings.TrimPrefix(r.Header.Get("webhook-id"), "ntf-l-"), time.Since(s.began)))
	return s.answer(len(s.made))
}

// tries are the attempts since the last call, each with its number and the time since the start.
func (s *scripted) tries() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := s.made
	s.made = nil
	return made
}

func status(code int, headers ...string) (*http.Response, error) {
	resp := &http.Response{StatusCode: code, Body: http.NoBody, Header: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		resp.Header.Set(headers[i], headers[i+1])
	}
	return resp, nil
}

// slowly are the options with the specification's schedule.
func slowly() Options {
	o := options()
	o.Schedule = nil
	return o
}

func (s *scripted) dispatcher(t *testing.T, store Store, source Source) *Dispatcher {
	d := newDispatcher(t, slowly(), store, source)
	d.client.Transport = s
	return d
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}

// TestSchedule: an endpoint that never works is tried ten times over three days, then disabled; enabled, it is tried at
// once and goes through the same again.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var works atomic.Bool
		s := &scripted{began: time.Now(), answer: func(int) (*http.Response, error) {
			if works.Load() {
				return status(200)
			}
			return status(500)
		}}
		store := newStore()
		d := s.dispatcher(t, store, newSource(2))
		create(t, d, "a", "http://127.0.0.1:1")
		stop := start(d)
		pass(80 * time.Hour)
		want := []string{"1 0s", "1 5s", "1 5m5s", "1 35m5s", "1 2h35m5s", "1 7h35m5s", "1 17h35m5s", "1 31h35m5s", "1 51h35m5s", "1 75h35m5s"}
		expect(t, s.tries(), want...)
		e, _ := d.Endpoint("a")
		if !e.Disabled || e.Failures != 10 || e.Delivered != 0 || e.LastError != "status 500" || !e.LastErrorAt.Equal(s.began.Add(75*time.Hour+35*time.Minute+5*time.Second)) {
			t.Errorf("%+v", e)
		}
		if got := d.Stats(); got != (Stats{Failed: 10, Disabled: 1}) {
			t.Errorf("%+v", got)
		}
		if !strings.Contains(store.rows["a"][0], `"disabled":true`) {
			t.Errorf("stored %v", store.rows)
		}

		s.began = time.Now()
		if _, no := d.Enable("a", nil); no != nil {
			t.Fatal(no)
		}
		pass(time.Minute)
		expect(t, s.tries(), want[:2]...)
		works.Store(true)
		pass(10 * time.Minute)
		expect(t, s.tries(), "1 5m5s", "2 5m5s")
		// A success begins the count anew, and the last error stays for whoever looks.
		if e, _ := d.Endpoint("a"); e.Failures != 0 || e.Delivered != 2 || e.LastError != "status 500" || !e.NextAttempt.IsZero() {
			t.Errorf("%+v", e)
		}
		stop()
	})
}

// TestScheduleOutlivesRestarts: a restart neither tries earlier nor counts from the start.
func TestScheduleOutlivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{began: time.Now(), answer: func(int) (*http.Response, error) { return nil, errors.New("connection refused") }}
		store, source := newStore(), newSource(1)
		d := s.dispatcher(t, store, source)
		create(t, d, "a", "http://127.0.0.1:1")
		for range 30 {
			stop := start(d)
			pass(20 * time.Minute)
			stop()
			d = s.dispatcher(t, store, source)
		}
		expect(t, s.tries(), "1 0s", "1 5s", "1 5m5s", "1 35m5s", "1 2h35m5s", "1 7h35m5s")
		if e, _ := d.Endpoint("a"); e.Failures != 6 || e.LastError != "connection refused" || d.Stats().Failing != 1 {
			t.Errorf("%+v %+v", e, d.Stats())
		}
	})
}

// TestRetryAfter: an endpoint may ask for more time than the schedule gives, up to a day, and not for less.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := []string{"60", "1", "9999999", "Wed, 21 Oct 2026 07:28:00 GMT", "-1"}
		s := &scripted{began: time.Now(), answer: func(try int) (*http.Response, error) {
			if try <= len(asks) {
				return status(503, "Retry-After", asks[try-1])
			}
			return status(200)
		}}
		d := s.dispatcher(t, newStore(), newSource(1))
		create(t, d, "a", "http://127.0.0.1:1")
		stop := start(d)
		pass(100 * time.Hour)
		stop()
		expect(t, s.tries(), "1 0s", "1 1m0s", "1 6m0s", "1 24h6m0s", "1 26h6m0s", "1 31h6m0s")
	})
}

// TestTimeout: what does not answer is given up after ten seconds.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := slowly()
		o.Timeout = 0
		d := newDispatcher(t, o, newStore(), newSource(1))
		d.client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		create(t, d, "a", "http://127.0.0.1:1")
		stop := start(d)
		pass(9999 * time.Millisecond)
		if got := d.Stats().Failed; got != 0 {
			t.Errorf("%d failures before the time", got)
		}
		pass(2 * time.Millisecond)
		if e, _ := d.Endpoint("a"); e.Failures != 1 || e.LastError != "no answer within 10s" {
			t.Errorf("%+v", e)
		}
		stop()
	})
}

// TestClockSetBack: a clock that was set back by a year does not make an endpoint wait for one.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{began: time.Now(), answer: func(try int) (*http.Response, error) { return status(500 - 300*(try-1)) }}
		store, source := newStore(), newSource(1)
		d := s.dispatcher(t, store, source)
		create(t, d, "a", "http://127.0.0.1:1")
		stop := start(d)
		pass(time.Second)
		stop()
		o := slowly()
		o.Now = func() time.Time { return time.Now().AddDate(-1, 0, 0) }
		d = newDispatcher(t, o, store, source)
		d.client.Transport = s
		stop = start(d)
		pass(50 * time.Hour)
		expect(t, s.tries(), "1 0s", "1 48h0m1s")
		stop()
	})
}

// TestSourceFails: notifications that cannot be read are no failure of the endpoint; they are read again later.
func TestSourceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{began: time.Now(), answer: func(int) (*http.Response, error) { return status(200) }}
		source := newSource(1)
		d := s.dispatcher(t, newStore(), source)
		create(t, d, "a", "http://127.0.0.1:1")
		source.failed = errors.New("the disk is gone")
		stop := start(d)
		pass(time.Minute + time.Second)
		source.mu.Lock()
		source.failed = nil
		source.mu.Unlock()
		pass(time.Minute)
		expect(t, s.tries(), "1 1m30s")
		stop()
	})
}

// TestStoreFails: deliveries go on while positions cannot be stored; what was not stored comes again after a restart.
// What a request asks for is refused and changes nothing.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{began: time.Now(), answer: func(int) (*http.Response, error) { return status(200) }}
		store, source := newStore(), newSource(2)
		d := s.dispatcher(t, store, source)
		create(t, d, "a", "http://127.0.0.1:1")
		store.fail(errors.New("the disk is full"))
		stop := start(d)
		synctest.Wait()
		expect(t, s.tries(), "1 0s", "2 0s")
		internal := func(what string, no error) {
			t.Helper()
			if !strings.HasPrefix(no.Error(), "internal") {
				t.Errorf("%s: %v", what, no)
			}
		}
		_, _, no := d.Create(Spec{ID: "b", URL: "http://127.0.0.1:1", From: from(0)})
		internal("create", no)
		_, no = d.Enable("a", from(0))
		internal("enable", no)
		source.add(1, "credit.low")
		synctest.Wait()
		expect(t, s.tries(), "3 0s")
		_, no = d.Delete("a")
		internal("delete", no)
		source.add(1, "credit.low")
		synctest.Wait()
		expect(t, s.tries(), "4 0s")
		stop()
		if all, _ := d.Endpoints(); len(all) != 1 || all[0].Delivered != 4 {
			t.Errorf("%+v", all)
		}
		store.fail(nil)
		d = s.dispatcher(t, store, source)
		stop = start(d)
		synctest.Wait()
		expect(t, s.tries(), "1 0s", "2 0s", "3 0s", "4 0s")
		stop()
	})
}

// TestDeleteStopsDelivery: Delete breaks off what is in flight, and nothing is sent or stored after it.
func TestDeleteStopsDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{began: time.Now()}
		store := newStore()
		d := s.dispatcher(t, store, newSource(10))
		d.client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			s.mu.Lock()
			s.made = append(s.made, r.Header.Get("webhook-id"))
			tries := len(s.made)
			s.mu.Unlock()
			if tries < 3 {
				return status(200)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		create(t, d, "a", "http://127.0.0.1:1")
		stop := start(d)
		synctest.Wait()
		expect(t, s.tries(), "ntf-l-1", "ntf-l-2", "ntf-l-3")
		// What is delivered is stored one by one, not page by page.
		if e, _ := d.Endpoint("a"); e.Delivered != 2 || !strings.Contains(store.rows["a"][1], `"delivered":2`) {
			t.Errorf("%+v, stored %v", e, store.rows)
		}
		if e, no := d.Delete("a"); no != nil || e.Delivered != 2 || e.Failures != 0 {
			t.Errorf("%+v %v", e, no)
		}
		pass(time.Hour)
		if tries := s.tries(); len(tries) != 0 || len(store.rows) != 0 {
			t.Errorf("after Delete %v, stored %v", tries, store.rows)
		}
		stop()
	})
}

// TestRunTwice: a dispatcher that was stopped can run again.
func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{began: time.Now(), answer: func(int) (*http.Response, error) { return status(200) }}
		source := newSource(1)
		d := s.dispatcher(t, newStore(), source)
		create(t, d, "a", "http://127.0.0.1:1")
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			d.Run(ctx)
			cancel()
			source.add(1, "credit.low")
			synctest.Wait()
		}
		expect(t, s.tries(), "1 0s", "2 1s")
	})
}

// pass lets time pass in the bubble, and what it sets off happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
