package decide

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/model"
)

func TestWhatAnAnswerMeans(t *testing.T) {
	for _, c := range []struct {
		status int
		event  bool
		want   Outcome
	}{
		{200, true, Replied}, {200, false, Delivered}, {201, true, Delivered}, {202, true, Delivered}, {202, false, Delivered}, {204, false, Delivered},
		{100, false, Refused}, {101, false, Refused}, {301, false, Refused}, {302, true, Refused}, {307, false, Refused},
		{400, false, Refused}, {401, false, Refused}, {403, false, Refused}, {405, false, Refused}, {410, false, Refused}, {413, false, Refused},
		{404, false, Retryable}, {408, false, Retryable}, {409, false, Retryable}, {429, false, Retryable},
		{500, true, Retryable}, {501, false, Retryable}, {503, false, Retryable}, {599, false, Retryable}, {NoAnswer, false, Retryable},
	} {
		if got := Judge(c.status, c.event); got != c.want {
			t.Errorf("status %d, event %v: %v, want %v", c.status, c.event, got, c.want)
		}
	}
}

func TestDelaysGrowAsTheDeliverySays(t *testing.T) {
	linear := model.Delivery{Backoff: model.Linear, Delay: 200 * time.Millisecond}
	exponential := model.Delivery{Backoff: model.Exponential, Delay: 200 * time.Millisecond}
	capped := model.Delivery{Backoff: model.Exponential, Delay: 200 * time.Millisecond, Max: time.Second}
	for _, c := range []struct {
		d      model.Delivery
		failed int
		want   time.Duration
	}{
		{linear, 1, 200 * time.Millisecond}, {linear, 2, 400 * time.Millisecond}, {linear, 10, 2 * time.Second},
		{exponential, 1, 200 * time.Millisecond}, {exponential, 2, 400 * time.Millisecond}, {exponential, 10, 102400 * time.Millisecond},
		{exponential, 5000, longest}, {capped, 2, 400 * time.Millisecond}, {capped, 9, time.Second},
	} {
		if got := Delay(c.d, c.failed); got != c.want {
			t.Errorf("%s after %d: %v, want %v", c.d.Backoff, c.failed, got, c.want)
		}
	}
}

func TestJitterStaysInItsBand(t *testing.T) {
	for _, c := range []struct {
		delay, limit time.Duration
		low, high    time.Duration
	}{
		{time.Second, time.Minute, time.Second, 1250 * time.Millisecond},
		{time.Second, time.Second, 750 * time.Millisecond, time.Second},
		{0, time.Second, 0, 0},
	} {
		if got := Jitter(c.delay, c.limit, 0); got != c.low {
			t.Errorf("jitter of %v: at least %v, want %v", c.delay, got, c.low)
		}
		if got := Jitter(c.delay, c.limit, 0.999999); got > c.high || got < c.high-time.Millisecond {
			t.Errorf("jitter of %v: at most %v, want %v", c.delay, got, c.high)
		}
	}
}

func TestAttemptsEndAndRetryAfterIsHeededUpToItsBound(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	bound, ignored := 30*time.Second, time.Duration(0)
	d := model.Delivery{Retry: 2, Backoff: model.Linear, Delay: time.Second}
	heeding, deaf := d, d
	heeding.RetryAfterMax, deaf.RetryAfterMax = &bound, &ignored
	for _, c := range []struct {
		name   string
		d      model.Delivery
		failed int
		a      Answer
		want   time.Duration
		again  bool
	}{
		{"first", d, 1, Answer{Status: 500}, time.Second, true},
		{"second", d, 2, Answer{Status: 500}, 2 * time.Second, true},
		{"used up", d, 3, Answer{Status: 500}, 0, false},
		{"none", model.Delivery{}, 1, Answer{Status: 500}, 0, false},
		{"nil heeds none", d, 1, Answer{Status: 503, RetryAfter: "10"}, time.Second, true},
		{"zero ignores", deaf, 1, Answer{Status: 503, RetryAfter: "10"}, time.Second, true},
		{"heeded", heeding, 1, Answer{Status: 503, RetryAfter: "10"}, 10 * time.Second, true},
		{"bounded", heeding, 1, Answer{Status: 429, RetryAfter: "3600"}, 30 * time.Second, true},
		{"shorter than the delay", heeding, 2, Answer{Status: 429, RetryAfter: "1"}, 2 * time.Second, true},
		{"a date", heeding, 1, Answer{Status: 429, RetryAfter: now.Add(7*time.Second).Format(time.RFC1123[:26]) + "GMT"}, 7 * time.Second, true},
		{"of another status", heeding, 1, Answer{Status: 500, RetryAfter: "10"}, time.Second, true},
		{"nonsense", heeding, 1, Answer{Status: 503, RetryAfter: "soon"}, time.Second, true},
		{"not revived by Retry-After", heeding, 3, Answer{Status: 503, RetryAfter: "1"}, 0, false},
	} {
		due, again := Next(c.d, c.failed, c.a, now, 0)
		if again != c.again || (again && due.Sub(now) != c.want) {
			t.Errorf("%s: %v %v, want %v %v", c.name, due.Sub(now), again, c.want, c.again)
		}
	}
}

func sample() *event.Event {
	e := event.New()
	e.SetID("1")
	e.SetSource("/s")
	e.SetType("t")
	return &e
}

func TestRepliesLoseAHop(t *testing.T) {
	for _, c := range []struct {
		ttl  any
		want int32
		ok   bool
	}{{nil, 254, true}, {int32(3), 2, true}, {"3", 2, true}, {int32(1), 0, false}, {int32(0), 0, false}, {int32(-4), 0, false}} {
		e := sample()
		if c.ttl != nil {
			e.SetExtension(extension.TTL, c.ttl)
		}
		reply := sample()
		reply.SetExtension(extension.TTL, int32(99))
		got, ok := Reentry(e, reply)
		if ok != c.ok || (ok && got.Extensions()[extension.TTL] != c.want) {
			t.Errorf("ttl %v: %v %v, want %v %v", c.ttl, got, ok, c.want, c.ok)
		}
		if reply.Extensions()[extension.TTL] != int32(99) {
			t.Fatal("the reply itself was changed")
		}
	}
}

func TestOutgoingEventsHaveNoHopCount(t *testing.T) {
	e := sample()
	e.SetExtension(extension.TTL, int32(3))
	e.SetExtension("kept", "yes")
	out := Outgoing(e)
	if _, has := out.Extensions()[extension.TTL]; has || out.Extensions()["kept"] != "yes" {
		t.Error("extensions:", out.Extensions())
	}
	if e.Extensions()[extension.TTL] != int32(3) {
		t.Error("the event itself was changed")
	}
}

func TestDeadLettersSayWhyAndAreFitForHeaders(t *testing.T) {
	long := strings.Repeat("x", 1023) + "é and more"
	for _, c := range []struct {
		data, want string
	}{
		{"no such thing\r\n", "no such thing"},
		{"a\x00b\nc\x7f", "a b c"},
		{long, strings.Repeat("x", 1023)},
		{"bad \xff byte", "bad   byte"},
	} {
		e := sample()
		dead := Dead(e, Failure{Dest: "http://s/", Code: 500, Data: c.data})
		if got := dead.Extensions()[extension.ErrorData]; got != c.want {
			t.Errorf("data %q: %q", c.data, got)
		}
		if dead.Extensions()[extension.ErrorDest] != "http://s/" || dead.Extensions()[extension.ErrorCode] != int32(500) {
			t.Error("extensions:", dead.Extensions())
		}
		if err := dead.Validate(); err != nil {
			t.Error(err)
		}
		if back := Revived(dead); len(back.Extensions()) != 0 || len(e.Extensions()) != 0 {
			t.Error("revived:", back.Extensions(), "original:", e.Extensions())
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"10", "-1", "Fri, 01 May 2026 12:00:00 GMT", "99999999999", ""} {
		f.Add(s)
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := RetryAfter(s, now); d < 0 || (!ok && d != 0) {
			t.Errorf("%q: %v %v", s, d, ok)
		}
	})
}
