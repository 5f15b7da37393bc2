package requestreply

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/apiserver"
)

func TestEachOfManyRequestsGetsItsOwnReply(t *testing.T) {
	r := start(t)
	r.subscribe()
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			id := fmt.Sprint("q", i)
			got := r.ask(id, "?")
			if got.code != http.StatusOK || got.body != "answer to "+id || got.header.Get("Ce-Type") != "answer" || got.header.Get("Ce-Id") != "re-"+id ||
				!strings.HasPrefix(got.header.Get("Ce-Replyid"), id+":") || got.header.Get("Ce-Knativebrokerttl") != "" {
				t.Errorf("%s: %+v", id, got)
			}
		})
	}
	group.Wait()
	if n := r.waiting(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestNoReplyIsTooFast(t *testing.T) {
	r := start(t)
	r.main.after = func(e *event.Event) {
		if e.Type() == "question" {
			r.put(reply(e))
		}
	}
	for i := range 20 {
		if got := r.ask(fmt.Sprint(i), "?"); got.code != http.StatusOK {
			t.Errorf("%d: %+v", i, got)
		}
	}
}

func TestWithoutAReplyTheRequestEndsInTime(t *testing.T) {
	r := start(t)
	got := r.asking(t.Context(), "1")
	r.clock.Step(29 * time.Second)
	if r.waiting() != 1 {
		t.Fatal("it ended before its time")
	}
	r.clock.Step(time.Second)
	if a := r.gets("a request without a reply", got, http.StatusGatewayTimeout); !strings.Contains(a.body, "replyid within 30s") {
		t.Errorf("%s", a.body)
	}
	// The reply that comes later is for nobody, and nobody minds.
	r.put(reply(r.stored("1")[0]))
	r.subscribe()
	if a := r.ask("2", "?"); a.code != http.StatusOK {
		t.Errorf("%+v", a)
	}
}

func TestWhoSendsAgainGetsTheReplyThatHasCome(t *testing.T) {
	r := start(t)
	first := r.asking(t.Context(), "1")
	second := make(chan answer, 1)
	go func() { second <- r.ask("1", "?") }()
	apiserver.Eventually(t, "both wait", func(context.Context) bool { return r.waiting() == 2 })
	if n := len(r.stored("1")); n != 1 {
		t.Fatalf("stored %d times", n)
	}
	options := r.handler.Waiting.Options
	r.restart(options)
	for _, each := range []<-chan answer{first, second} {
		if a := r.gets("a request when the process ends", each, http.StatusServiceUnavailable); a.header.Get("Retry-After") == "" {
			t.Errorf("%+v", a)
		}
	}
	r.put(reply(r.stored("1")[0]))
	if a := r.ask("1", "?"); a.code != http.StatusOK || a.body != "answer to 1" {
		t.Errorf("sent again: %+v", a)
	}
	// It may come after it was sent again, too, and after the key that signs was changed.
	third := r.asking(t.Context(), "2")
	options.Keys = keys("new", "key")
	r.restart(options)
	r.gets("a request when the process ends", third, http.StatusServiceUnavailable)
	again := r.asking(t.Context(), "2")
	r.put(reply(r.stored("2")[0]))
	r.gets("sent again before the reply", again, http.StatusOK)
	if n := len(r.stored("2")); n != 1 {
		t.Errorf("stored %d times", n)
	}
	options.Keys = keys("new")
	r.restart(options)
	if a := r.ask("2", "?"); a.code != http.StatusConflict {
		t.Errorf("what a key signed that is known no more: %+v", a)
	}
	options.Keys = func(context.Context) ([][]byte, error) { return nil, errors.New("no key") }
	r.restart(options)
	if a := r.ask("3", "?"); a.code != http.StatusServiceUnavailable || !strings.Contains(a.body, "no key") {
		t.Errorf("without a key: %+v", a)
	}
}

// The reply to what was stored before may come between a request's beginning and its finding that out.
func TestAReplyIsSeenThatPassesWhileAnEventIsFoundToBeStored(t *testing.T) {
	r := start(t)
	options := r.handler.Waiting.Options
	first := r.asking(t.Context(), "1")
	r.restart(options)
	r.gets("a request when the process ends", first, http.StatusServiceUnavailable)
	asked := r.stored("1")[0]
	r.main.after = func(e *event.Event) {
		if e.Type() != "question" {
			return
		}
		r.main.after = nil
		r.put(reply(asked))
		w := r.handler.Waiting
		apiserver.Eventually(t, "the reply has been read", func(context.Context) bool {
			_, next, err := r.log.Bounds(t.Context(), r.stream.ID)
			w.mu.Lock()
			b := w.boards[r.stream.ID]
			w.mu.Unlock()
			b.mu.Lock()
			defer b.mu.Unlock()
			return err == nil && b.next[r.stream.ID] == next
		})
	}
	if a := r.ask("1", "?"); a.code != http.StatusOK || a.body != "answer to 1" {
		t.Errorf("%+v", a)
	}
}

func TestNobodyCanAnswerWithAnIdThatWasGuessed(t *testing.T) {
	r := start(t)
	got := r.asking(t.Context(), "1")
	correlation := r.stored("1")[0].Extensions()["correlationid"].(string)
	for i, guess := range []string{"1", "1:", correlation[:len(correlation)-1], sign([]byte("other"), subject{"r1", "/client", "1"}, [nonceSize]byte{})} {
		e := replyWith("1", guess)
		e.SetID(fmt.Sprint("guess", i))
		r.put(e)
	}
	right := replyWith("1", correlation)
	if err := right.SetData("text/plain", "right"); err != nil {
		t.Fatal(err)
	}
	r.put(right)
	if a := r.gets("after four guesses", got, http.StatusOK); a.body != "right" {
		t.Errorf("%+v", a)
	}
	// Whoever is first with the event, and an id of its own making, does not get to answer.
	e := replyWith("2", "")
	e.SetID("2")
	e.SetSource("/client")
	e.SetExtension("correlationid", "2:mine")
	r.put(e)
	if a := r.ask("2", "?"); a.code != http.StatusConflict {
		t.Errorf("an event that was sent past the RequestReply: %+v", a)
	}
}

func TestWaitingHasABoundAndClientsThatLeaveMakeRoom(t *testing.T) {
	r := start(t, func(_ *eventingv1alpha1.RequestReply, o *Options) { o.Each = 2 })
	leaves, leave := context.WithCancel(t.Context())
	defer leave()
	stays := r.asking(t.Context(), "1")
	r.asking(leaves, "2")
	if a := r.ask("3", "?"); a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "1" || len(r.stored("3")) > 0 {
		t.Errorf("past the bound: %+v", a)
	}
	leave()
	apiserver.Eventually(t, "there is room", func(context.Context) bool { return r.waiting() == 1 })
	r.subscribe()
	r.gets("the one that stayed", stays, http.StatusOK)
	if a := r.ask("4", "?"); a.code != http.StatusOK {
		t.Errorf("%+v", a)
	}
}

func TestDeletionEndsWhatWaits(t *testing.T) {
	r := start(t)
	key := model.Key{Namespace: "shop", Name: "ask"}
	got := r.asking(t.Context(), "1")
	r.handler.Waiting.Keep(key, uid("r1"))
	if r.waiting() != 1 {
		t.Fatal("a look at what has not changed ends requests")
	}
	r.handler.Waiting.Keep(key, uid("r2"))
	r.gets("a RequestReply that was made anew", got, http.StatusServiceUnavailable)

	got = r.asking(t.Context(), "2")
	if err := r.log.Remove(t.Context(), r.stream.ID); err != nil {
		t.Fatal(err)
	}
	r.gets("a Broker that was deleted", got, http.StatusServiceUnavailable)
	if a := r.ask("3", "?"); a.code != http.StatusServiceUnavailable {
		t.Errorf("%+v", a)
	}
	if err := r.log.Ensure(t.Context(), r.stream); err != nil {
		t.Fatal(err)
	}
	r.subscribe()
	if a := r.ask("4", "?"); a.code != http.StatusOK {
		t.Errorf("a Broker that is back: %+v", a)
	}
	var rr eventingv1alpha1.RequestReply
	if err := errors.Join(r.api.Get(t.Context(), key, &rr), r.api.Delete(t.Context(), &eventingv1alpha1.RequestReply{ObjectMeta: rr.ObjectMeta})); err != nil {
		t.Fatal(err)
	}
	if a := r.ask("5", "?"); a.code != http.StatusNotFound {
		t.Errorf("%+v", a)
	}
}

func TestChangesCountForTheNextRequest(t *testing.T) {
	r := start(t)
	before := r.asking(t.Context(), "1")
	var rr eventingv1alpha1.RequestReply
	if err := r.api.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "ask"}, &rr); err != nil {
		t.Fatal(err)
	}
	rr.Spec.ReplyAttribute = "other"
	if err := r.api.Update(t.Context(), &rr); err != nil {
		t.Fatal(err)
	}
	after := r.asking(t.Context(), "2")
	correlation := r.stored("2")[0].Extensions()["correlationid"].(string)
	r.put(replyWith("2", correlation))
	e := replyWith("2", "")
	e.SetID("other")
	e.SetExtension("other", correlation)
	r.put(e)
	if a := r.gets("after the change", after, http.StatusOK); a.header.Get("Ce-Id") != "other" {
		t.Errorf("%+v", a)
	}
	r.put(reply(r.stored("1")[0]))
	r.gets("before the change", before, http.StatusOK)
}

func TestWhatTheBrokerRefusesIsPassedOn(t *testing.T) {
	full := fmt.Errorf("stream: %w", log.ErrFull)
	r := start(t, func(rr *eventingv1alpha1.RequestReply, _ *Options) {
		rr.Spec.Delivery = &duck.DeliverySpec{Retry: ptr.To[int32](1), BackoffDelay: ptr.To("PT1S"), BackoffPolicy: ptr.To(duck.BackoffPolicyLinear)}
	})
	for name, tt := range map[string]struct {
		errs []error
		code int
		text string
	}{
		"too large":       {[]error{log.ErrTooLarge}, http.StatusRequestEntityTooLarge, "too large"},
		"invalid":         {[]error{log.ErrInvalid}, http.StatusBadRequest, "not valid"},
		"full for good":   {[]error{full, full, full}, http.StatusServiceUnavailable, "is full"},
		"full for a time": {[]error{full}, http.StatusOK, "answer"},
	} {
		r.main.errs = tt.errs
		out := make(chan answer, 1)
		go func() { out <- r.ask(name, "?") }()
		if tt.code == http.StatusOK || tt.code == http.StatusServiceUnavailable {
			left := len(tt.errs) - 1
			apiserver.Eventually(t, "the first attempt has failed", func(context.Context) bool {
				r.main.mu.Lock()
				defer r.main.mu.Unlock()
				return len(r.main.errs) == left
			})
			// Stepping repeats until the handler has set its timer.
			apiserver.Eventually(t, "it is tried again", func(context.Context) bool {
				r.clock.Step(2 * time.Second)
				r.main.mu.Lock()
				defer r.main.mu.Unlock()
				return len(r.main.errs) < left || len(r.stored(name)) > 0
			})
		}
		if tt.code == http.StatusOK {
			r.put(reply(r.stored(name)[0]))
		}
		if a := r.gets(name, out, tt.code); !strings.Contains(a.body, tt.text) {
			t.Errorf("%s: %+v", name, a)
		}
		r.main.mu.Lock()
		r.main.errs = nil
		r.main.mu.Unlock()
	}
}

func TestRequestsThatAreNoneAreRefused(t *testing.T) {
	r := start(t)
	for _, tt := range []struct {
		name, method, path, content, body string
		code                              int
	}{
		{"a handshake", http.MethodOptions, path, "", "", http.StatusOK},
		{"another method", http.MethodGet, path, "", "", http.StatusMethodNotAllowed},
		{"no name", http.MethodPost, "/shop", "", "", http.StatusBadRequest},
		{"too much of a path", http.MethodPost, path + "/reply", "", "", http.StatusBadRequest},
		{"nobody's name", http.MethodPost, "/shop/nobody", "", "", http.StatusNotFound},
		{"no event", http.MethodPost, path, "text/plain", "hello", http.StatusBadRequest},
		{"a batch", http.MethodPost, path, "application/cloudevents-batch+json", `[]`, http.StatusBadRequest},
	} {
		q, err := http.NewRequestWithContext(t.Context(), tt.method, r.server.URL+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		q.Host = host
		q.Header.Set("Content-Type", tt.content)
		got, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if got.StatusCode != tt.code {
			t.Errorf("%s: %d", tt.name, got.StatusCode)
		}
	}
}

func TestNothingIsReadOnceNobodyHasWaitedForLong(t *testing.T) {
	r := start(t)
	r.subscribe()
	if a := r.ask("1", "?"); a.code != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	reads := func() int {
		r.handler.Waiting.mu.Lock()
		defer r.handler.Waiting.mu.Unlock()
		return len(r.handler.Waiting.boards)
	}
	if reads() != 1 {
		t.Error("reading ends with the request: the next one has to begin anew")
	}
	apiserver.Eventually(t, "reading ends", func(context.Context) bool {
		r.clock.Step(11 * time.Second)
		return reads() == 0
	})
	if a := r.ask("2", "?"); a.code != http.StatusOK {
		t.Errorf("%+v", a)
	}
}
