package request

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/model"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func fresh() Record {
	return Record{
		ID: "r1", Service: model.Key{Namespace: "default", Name: "hello"}, Method: "POST", Target: "/a?b=c", State: Queued, Accepted: start, Due: start,
		Terms:   Terms{Retry: 2, Backoff: time.Second, Timeout: time.Minute, TTL: time.Hour, Bytes: 10},
		Notices: []Notice{{Kind: Callback, URL: "http://c"}, {Kind: DeadLetter, URL: "http://d"}},
	}
}

func TestAnAnswerDecidesWhatFollows(t *testing.T) {
	for status, want := range map[int]State{
		200: Succeeded, 204: Succeeded, 302: Succeeded, 400: Failed, 404: Failed, 409: Failed, 408: Queued, 425: Queued, 429: Queued,
		500: Queued, 503: Queued, 599: Queued, 0: Queued,
	} {
		r := fresh().Begin(start).Answered(Answer{Status: status, Kept: true}, start.Add(time.Second), 0)
		if r.State != want || r.Status != status {
			t.Errorf("%d: %+v", status, r)
		}
		if r.State.Final() != (!r.Ended.IsZero() && r.Expires.Equal(start.Add(time.Second+time.Hour)) && r.Kept) {
			t.Errorf("%d: %+v", status, r)
		}
	}
}

func TestAttemptsAreUsedUpWithGrowingDelays(t *testing.T) {
	r, now := fresh(), start
	for i, want := range []time.Duration{time.Second, 2 * time.Second} {
		r = r.Begin(now).Answered(Answer{Status: 500}, now, 0)
		if r.State != Queued || r.Due.Sub(now) != want || r.Attempts != i+1 {
			t.Fatalf("attempt %d: %+v", i+1, r)
		}
		now = r.Due
	}
	r = r.Begin(now).Answered(Answer{Status: 500, Kept: true}, now, 0)
	if r.State != Dead || r.Attempts != 3 || !r.Kept || r.Expires.Sub(now) != deadTTL {
		t.Fatalf("%+v", r)
	}
	if r.Notices[0].State != Pending || r.Notices[1].State != Pending {
		t.Errorf("notices %+v", r.Notices)
	}
	again, err := r.Again(now)
	if err != nil || again.State != Queued || again.Attempts != 0 || !again.Ended.IsZero() || again.Version <= r.Version {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := fresh().Again(now); err == nil {
		t.Error("one that is not dead is tried again")
	}
}

func TestAnAppCanAskForTime(t *testing.T) {
	r := fresh().Begin(start).Answered(Answer{Status: 503, RetryAfter: "30"}, start, 0)
	if r.Due.Sub(start) != 30*time.Second {
		t.Errorf("due after %s", r.Due.Sub(start))
	}
}

func TestOnlyWhatHasNotEndedIsCancelled(t *testing.T) {
	for _, r := range []Record{fresh(), fresh().Begin(start)} {
		c, err := r.Cancel(start)
		if err != nil || c.State != Cancelled || c.Notices[0].State != Pending || c.Notices[1].State != "" {
			t.Errorf("%+v, %v", c, err)
		}
		if _, err := c.Cancel(start); !errors.Is(err, ErrFinal) {
			t.Errorf("twice: %v", err)
		}
	}
}

func TestAnInterruptedAttemptIsMadeAgain(t *testing.T) {
	r := fresh().Begin(start).Interrupted(start.Add(time.Minute))
	if r.State != Queued || !r.Due.Equal(start.Add(time.Minute)) {
		t.Errorf("%+v", r)
	}
	done := fresh().Begin(start).Answered(Answer{Status: 200}, start, 0)
	if got := done.Interrupted(start.Add(time.Minute)); got.Version != done.Version {
		t.Errorf("%+v", got)
	}
}

func TestNoticesAreRetriedThenGivenUp(t *testing.T) {
	r := fresh().Begin(start).Answered(Answer{Status: 200}, start, 0)
	now := start
	for range noticeRetry {
		r = r.Told(Callback, "no answer", false, now, 0)
		if r.Notices[0].State != Pending || !r.Notices[0].Due.After(now) {
			t.Fatalf("%+v", r.Notices[0])
		}
		now = r.Notices[0].Due
	}
	if r = r.Told(Callback, "no answer", false, now, 0); r.Notices[0].State != GivenUp {
		t.Errorf("%+v", r.Notices[0])
	}
	ok := fresh().Begin(start).Answered(Answer{Status: 200}, start, 0).Told(Callback, "", false, start, 0)
	if ok.Notices[0].State != Delivered || ok.Notices[1].State != "" {
		t.Errorf("%+v", ok.Notices)
	}
	gone := fresh().Begin(start).Answered(Answer{Status: 200}, start, 0).Told(Callback, "410", true, start, 0)
	if gone.Notices[0].State != GivenUp {
		t.Errorf("%+v", gone.Notices)
	}
}

// Whatever happens in whatever order: versions grow, what has ended stays so unless it is dead, attempts are bounded, and a record says the
// same after it was stored.
func TestEveryWalkKeepsThePromises(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		r, now := fresh(), start
		for range 20 {
			before := r
			now = now.Add(time.Duration(random.IntN(5000)) * time.Millisecond)
			switch {
			case random.IntN(8) == 0:
				r, _ = r.Cancel(now)
			case r.State == Dead && random.IntN(4) == 0:
				r, _ = r.Again(now)
			case r.State == Queued:
				r = r.Begin(now)
			case r.State == Running && random.IntN(5) == 0:
				r = r.Interrupted(now)
			case r.State == Running:
				r = r.Answered(Answer{Status: []int{0, 200, 404, 500, 503}[random.IntN(5)]}, now, random.Float64())
			}
			if !reflect.DeepEqual(before, r) && r.Version <= before.Version {
				t.Fatalf("seed %d: %+v after %+v", seed, r, before)
			}
			if before.State.Final() && before.State != Dead && r.State != before.State {
				t.Fatalf("seed %d: %s after %s", seed, r.State, before.State)
			}
			if r.State.Final() && (r.Ended.IsZero() || !r.Expires.After(r.Ended)) {
				t.Fatalf("seed %d: %+v", seed, r)
			}
			data, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var back Record
			if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(back, r) {
				t.Fatalf("seed %d: %+v became %+v (%v)", seed, r, back, err)
			}
		}
	}
}
