package async

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/eventing/async/call"
	"ebb.dev/ebb/eventing/async/journal"
	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/model"
)

var hello = model.Key{Namespace: "default", Name: "hello"}

// world is an engine whose Services and receivers are functions.
type world struct {
	t      *testing.T
	engine *Engine
	log    log.Log
	policy async.Policy
	stop   func()

	mu sync.Mutex
	// unknown is why nothing is known of the Service.
	unknown  error
	attempts []request.Record
	told     []call.Notice
	app      func(ctx context.Context, r request.Record, m journal.Message) (request.Answer, journal.Message)
	receiver func(n call.Notice) (bool, error)
	options  func(*Options)
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, log: &memory.Log{}, policy: async.Default()}
	w.app = answers(200, "ok")
	w.receiver = func(call.Notice) (bool, error) { return false, nil }
	return w
}

// answers is an app.
func answers(status int, body string) func(context.Context, request.Record, journal.Message) (request.Answer, journal.Message) {
	return func(context.Context, request.Record, journal.Message) (request.Answer, journal.Message) {
		return request.Answer{Status: status, Kept: true}, journal.Message{Header: http.Header{"X-App": {"1"}}, Body: []byte(body)}
	}
}

// sleeps is an app that takes its time.
func sleeps(d time.Duration) func(context.Context, request.Record, journal.Message) (request.Answer, journal.Message) {
	return func(ctx context.Context, r request.Record, m journal.Message) (request.Answer, journal.Message) {
		select {
		case <-time.After(d):
			return answers(200, "slept")(ctx, r, m)
		case <-ctx.Done():
			return request.Answer{Error: "broken off"}, journal.Message{}
		}
	}
}

// start begins, or begins again after stop.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{
		Log: w.log,
		Policy: func(context.Context, model.Key) (async.Policy, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.policy, w.unknown
		},
		Attempt: func(ctx context.Context, r request.Record, m journal.Message) (request.Answer, journal.Message) {
			w.mu.Lock()
			w.attempts = append(w.attempts, r)
			app := w.app
			w.mu.Unlock()
			return app(ctx, r, m)
		},
		Tell: func(_ context.Context, n call.Notice) (bool, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, n)
			return w.receiver(n)
		},
		Secret: func(context.Context, string) ([]byte, error) { return []byte("key"), nil },
		Random: func() float64 { return 0 }, Logger: slog.New(slog.DiscardHandler),
	}
	if w.options != nil {
		w.options(&o)
	}
	var err error
	if w.engine, err = Open(ctx, o); err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.engine.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		w.stop = func() {}
	}
}

func (w *world) submission(body string) Submission {
	return Submission{
		Service: hello, Method: "POST", Target: "/work", Message: journal.Message{Host: "hello.default.svc.cluster.local", Body: []byte(body)},
		Terms: request.Terms{Retry: w.policy.Retry, Backoff: w.policy.Backoff, Timeout: w.policy.Timeout, TTL: w.policy.TTL, Bytes: w.policy.Bytes},
	}
}

func (w *world) accept(s Submission) request.Record {
	w.t.Helper()
	r, _, err := w.engine.Accept(context.Background(), s, w.policy)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) wait(id string, most time.Duration) request.Record {
	w.t.Helper()
	r, err := w.engine.Wait(context.Background(), hello, id, most)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.attempts)
}

// sizes are how many requests have not ended, and how many ended ones are kept.
func (w *world) sizes() (open, kept int) {
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	return w.engine.open, w.engine.kept
}

func (w *world) busy() bool {
	open, _ := w.sizes()
	return open > 0
}

func in(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer func() { w.stop() }()
		f(t, w)
	})
}

func TestAnAnswerIsKeptForItsTime(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.app = sleeps(20 * time.Minute) // longer than any of a revision's timeouts
		w.start()
		r := w.accept(w.submission("x"))
		if got := w.wait(r.ID, time.Minute); got.State != request.Running {
			t.Errorf("after a minute: %s", got.State)
		}
		done := w.wait(r.ID, time.Hour)
		if done.State != request.Succeeded || done.Ended.Sub(done.Accepted) != 20*time.Minute || done.Attempts != 1 {
			t.Errorf("%+v", done)
		}
		if m, err := w.engine.Answer(context.Background(), done); err != nil || string(m.Body) != "slept" || m.Header.Get("X-App") != "1" {
			t.Errorf("%+v, %v", m, err)
		}
		time.Sleep(59 * time.Minute)
		w.wait(r.ID, 0)
		time.Sleep(2 * time.Minute)
		if _, err := w.engine.Wait(context.Background(), hello, r.ID, 0); !errors.Is(err, ErrUnknown) {
			t.Errorf("after its time: %v", err)
		}
	})
}

func TestWhatFailsIsRetriedThenDeadThenTriedAgain(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Retry, w.policy.DeadLetter = 2, "http://dead.example"
		w.app = answers(503, "sorry")
		w.start()
		r := w.wait(w.accept(w.submission("precious")).ID, time.Hour)
		if r.State != request.Dead || r.Attempts != 3 || r.Ended.Sub(r.Accepted) != 3*time.Second || !r.Kept {
			t.Fatalf("%+v", r)
		}
		synctest.Wait()
		if len(w.told) != 1 || w.told[0].URL != "http://dead.example" || string(w.told[0].Body) != "precious" || w.told[0].Header.Get("Ebb-Async-Status") != "503" {
			t.Errorf("told %+v", w.told)
		}
		w.mu.Lock()
		w.app = answers(200, "ok")
		w.mu.Unlock()
		if _, err := w.engine.Again(context.Background(), hello, r.ID); err != nil {
			t.Fatal(err)
		}
		if r = w.wait(r.ID, time.Minute); r.State != request.Succeeded || r.Attempts != 1 {
			t.Errorf("%+v", r)
		}
		if m, err := w.engine.journal.Request(context.Background(), r.ID); err == nil && string(m.Body) != "precious" {
			t.Errorf("%+v", m)
		}
	})
}

func TestADelayIsWaitedForAndARestartKeepsIt(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.start()
		s := w.submission("x")
		s.Delay = time.Hour
		r := w.accept(s)
		time.Sleep(30 * time.Minute)
		w.stop()
		w.start()
		if r = w.wait(r.ID, 29*time.Minute); r.State != request.Queued || w.count() != 0 {
			t.Errorf("%+v", r)
		}
		if r = w.wait(r.ID, 2*time.Minute); r.State != request.Succeeded || r.Began.Sub(r.Accepted) != time.Hour {
			t.Errorf("%+v", r)
		}
	})
}

func TestAnAttemptUnderWayIsMadeAgainAfterARestart(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.app = sleeps(time.Minute)
		w.start()
		r := w.accept(w.submission("x"))
		time.Sleep(30 * time.Second)
		w.stop()
		w.start()
		if r = w.wait(r.ID, time.Hour); r.State != request.Succeeded || w.count() != 2 || r.Attempts != 1 {
			t.Errorf("%d attempts: %+v", w.count(), r)
		}
	})
}

func TestARequestIsCancelledWhileItWaitsAndWhileItRuns(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Concurrency = 1
		broken := make(chan struct{})
		w.app = func(ctx context.Context, r request.Record, m journal.Message) (request.Answer, journal.Message) {
			<-ctx.Done()
			close(broken)
			return request.Answer{Error: "broken off"}, journal.Message{}
		}
		w.start()
		running := w.accept(w.submission("1"))
		waiting := w.accept(w.submission("2"))
		synctest.Wait()
		for _, id := range []string{waiting.ID, running.ID} {
			if r, err := w.engine.Cancel(context.Background(), hello, id); err != nil || r.State != request.Cancelled {
				t.Errorf("%+v, %v", r, err)
			}
			if _, err := w.engine.Cancel(context.Background(), hello, id); !errors.Is(err, request.ErrFinal) {
				t.Errorf("twice: %v", err)
			}
		}
		<-broken
		synctest.Wait()
		w.stop()
		w.app = answers(200, "")
		w.start()
		for _, id := range []string{waiting.ID, running.ID} {
			if r := w.wait(id, time.Hour); r.State != request.Cancelled {
				t.Errorf("after a restart %+v", r)
			}
		}
		if w.count() != 1 {
			t.Errorf("%d attempts", w.count())
		}
		if _, err := w.engine.Cancel(context.Background(), model.Key{Namespace: "default", Name: "other"}, waiting.ID); !errors.Is(err, ErrUnknown) {
			t.Errorf("another Service's: %v", err)
		}
	})
}

func TestOneKeyIsOneRequest(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.start()
		s := w.submission("x")
		s.Key = "k"
		ids := make(chan string, 20)
		for range 20 {
			go func() { ids <- w.accept(s).ID }()
		}
		first := <-ids
		for range 19 {
			if id := <-ids; id != first {
				t.Errorf("%s and %s", first, id)
			}
		}
		w.wait(first, time.Minute)
		w.stop()
		w.start()
		if r, again, err := w.engine.Accept(context.Background(), s, w.policy); err != nil || !again || r.ID != first || r.State != request.Succeeded {
			t.Errorf("after a restart %+v %t %v", r, again, err)
		}
		other := s
		other.Message.Body = []byte("y")
		if _, _, err := w.engine.Accept(context.Background(), other, w.policy); !errors.Is(err, ErrMismatch) {
			t.Errorf("%v", err)
		}
		other.Service.Name = "other"
		if _, again, err := w.engine.Accept(context.Background(), other, w.policy); again || err != nil {
			t.Errorf("another Service's key: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if _, again, err := w.engine.Accept(context.Background(), s, w.policy); again || err != nil {
			t.Errorf("after its time: %t %v", again, err)
		}
		synctest.Wait()
		if n := w.count(); n != 3 {
			t.Errorf("%d attempts", n)
		}
	})
}

func TestCallbacksAreRetriedAndSurviveARestart(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.receiver = func(call.Notice) (bool, error) { return false, errors.New("not now") }
		w.start()
		s := w.submission("x")
		s.Callback = "http://client.example/done"
		r := w.accept(s)
		time.Sleep(5 * time.Second)
		w.stop()
		failed := len(w.told)
		if failed < 2 {
			t.Errorf("told %d times", failed)
		}
		w.receiver = func(call.Notice) (bool, error) { return false, nil }
		w.start()
		time.Sleep(time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.told) != failed+1 {
			t.Fatalf("told %d times after %d", len(w.told), failed)
		}
		last := w.told[failed]
		if last.URL != s.Callback || string(last.Body) != "ok" || last.ID != r.ID+".callback" || string(last.Secret) != "key" || last.Header.Get("Ebb-Async-State") != "succeeded" {
			t.Errorf("%+v", last)
		}
		if r := w.wait(r.ID, 0); r.Notices[0].State != request.Delivered || r.Notices[0].Attempts != failed+1 {
			t.Errorf("%+v", r.Notices)
		}
	})
}

func TestNoMoreRunAtOnceThanMayAndAnAppThatAsksForTimeGetsFewer(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Concurrency, w.policy.Retry, w.policy.Timeout = 8, 50, time.Minute
		running, most, calls := 0, 0, 0
		w.app = func(ctx context.Context, r request.Record, m journal.Message) (request.Answer, journal.Message) {
			w.mu.Lock()
			running++
			calls++
			most = max(most, running)
			over := running > 2
			w.mu.Unlock()
			time.Sleep(time.Second)
			w.mu.Lock()
			running--
			w.mu.Unlock()
			if over {
				return request.Answer{Status: 503, RetryAfter: "1"}, journal.Message{}
			}
			return answers(200, "")(ctx, r, m)
		}
		w.start()
		var ids []string
		for range 60 {
			ids = append(ids, w.accept(w.submission("x")).ID)
		}
		for _, id := range ids {
			if r := w.wait(id, time.Hour); r.State != request.Succeeded {
				t.Fatalf("%+v", r)
			}
		}
		if most > 8 || calls > 150 {
			t.Errorf("%d at once, %d calls for 60", most, calls)
		}
	})
}

func TestWhatWaitsForOthersIsABacklogAndWhatWaitsForItsTimeIsNot(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Concurrency, w.policy.Timeout = 2, time.Minute
		w.app = sleeps(time.Second)
		w.start()
		later := w.submission("later")
		later.Delay = time.Hour
		w.accept(later)
		for range 5 {
			w.accept(w.submission("x"))
		}
		synctest.Wait()
		url := func(key model.Key) string { return "http://" + key.Name + "." + key.Namespace }
		want := model.Backlog{URL: "http://hello.default", Waiting: 3, AtOnce: 2}
		if all := w.engine.Backlogs(url); len(all) != 1 || all[0] != want {
			t.Errorf("%+v, want %+v", all, want)
		}
		time.Sleep(time.Minute)
		if all := w.engine.Backlogs(url); len(all) != 0 {
			t.Errorf("when all have been called: %+v", all)
		}
	})
}

func TestBoundsAreAnswered(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Queue = 3
		w.options = func(o *Options) { o.Bytes, o.Kept = 40_000, 2 }
		w.app = sleeps(time.Minute)
		w.start()
		for range 3 {
			w.accept(w.submission("x"))
		}
		if _, _, err := w.engine.Accept(context.Background(), w.submission("x"), w.policy); !errors.Is(err, ErrFull) {
			t.Errorf("a fourth: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if open, kept := w.sizes(); kept != 2 || open != 0 {
			t.Errorf("%d kept, %d open", kept, open)
		}
		w.accept(w.submission(string(make([]byte, 30_000))))
		if _, _, err := w.engine.Accept(context.Background(), w.submission(string(make([]byte, 30_000))), w.policy); !errors.Is(err, ErrFull) {
			t.Errorf("too many bytes: %v", err)
		}
		if _, kept := w.sizes(); kept != 0 {
			t.Errorf("%d ended ones are kept while there is no room for a new one", kept)
		}
	})
}

func TestWhatCameOfACallIsStoredOnceTheLogIsBack(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		f := &flaky{}
		w.log = f
		w.app = func(ctx context.Context, r request.Record, m journal.Message) (request.Answer, journal.Message) {
			f.set(fmt.Errorf("%w: disk", log.ErrUnavailable))
			return answers(200, "once")(ctx, r, m)
		}
		w.start()
		r := w.accept(w.submission("x"))
		if got := w.wait(r.ID, time.Minute); got.State != request.Running {
			t.Errorf("%+v", got)
		}
		if _, _, err := w.engine.Accept(context.Background(), w.submission("y"), w.policy); !errors.Is(err, log.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if open, _ := w.sizes(); open != 1 {
			t.Errorf("%d open", open)
		}
		f.set(nil)
		if got := w.wait(r.ID, time.Minute); got.State != request.Succeeded || w.count() != 1 {
			t.Errorf("%+v after %d", got, w.count())
		}
	})
}

func TestAListHasTheLatestThatFit(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Retry = 0
		w.app = answers(500, "")
		w.start()
		var last request.Record
		for range 3 {
			last = w.accept(w.submission("x"))
			time.Sleep(time.Second)
		}
		waits := w.submission("y")
		waits.Delay = time.Hour
		w.accept(waits)
		for _, c := range []struct {
			want Want
			n    int
		}{
			{Want{}, 4}, {Want{State: request.Dead}, 3}, {Want{State: request.Queued, Service: "hello"}, 1}, {Want{Service: "other"}, 0},
			{Want{Namespace: "other"}, 0}, {Want{State: request.Dead, Most: 1}, 1},
		} {
			got := w.engine.List(c.want)
			if len(got) != c.n || c.want.Most == 1 && got[0].ID != last.ID {
				t.Errorf("%+v: %d", c.want, len(got))
			}
		}
	})
}
