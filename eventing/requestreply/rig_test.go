package requestreply

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/kafka"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/log/placed"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/apiserver"
)

// flaky is a log in memory whose appends fail as long as there are errors for it.
type flaky struct {
	memory.Log
	mu   sync.Mutex
	errs []error
	// before is called with what is about to be stored, after with what was.
	after func(*event.Event)
}

func (f *flaky) Append(ctx context.Context, s model.StreamID, events ...*event.Event) ([]log.Position, error) {
	f.mu.Lock()
	var err error
	if len(f.errs) > 0 {
		err, f.errs = f.errs[0], f.errs[1:]
	}
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	positions, err := f.Log.Append(ctx, s, events...)
	if f.after != nil {
		f.after(events[0])
	}
	return positions, err
}

// rig is a RequestReply shop/ask at a Broker shop/default.
type rig struct {
	t       *testing.T
	log     *placed.Log
	main    *flaky
	clock   *clocktesting.FakeClock
	api     client.Client
	streams *ingress.Registry
	stream  model.Stream
	handler *Handler
	server  *httptest.Server
}

const (
	path = "/shop/ask"
	host = "request-reply.knative-eventing.svc.cluster.local"
)

func start(t *testing.T, change ...func(*eventingv1alpha1.RequestReply, *Options)) *rig {
	t.Helper()
	return startOn(t, nil, change...)
}

// startOn places the Broker's stream somewhere first.
func startOn(t *testing.T, place func(*placed.Log, model.StreamID), change ...func(*eventingv1alpha1.RequestReply, *Options)) *rig {
	t.Helper()
	b := &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "default", UID: "b1"}}
	rr := &eventingv1alpha1.RequestReply{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ask", UID: "r1"},
		Spec:       eventingv1alpha1.RequestReplySpec{BrokerRef: duck.KReference{Name: "default"}, Timeout: ptr.To("PT30S")},
	}
	r := &rig{
		t: t, main: &flaky{}, clock: clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), streams: &ingress.Registry{},
		stream: broker.StreamOf(b),
	}
	r.log = placed.New(r.main, kafka.Options{Timeout: 5 * time.Second})
	t.Cleanup(r.log.Close)
	options := Options{Log: r.log, Keys: keys("key"), Clock: r.clock, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, f := range change {
		f(rr, &options)
	}
	r.api = fake.NewClientBuilder().WithScheme(apiserver.Scheme(t)).WithObjects(b, rr).Build()
	if place != nil {
		place(r.log, r.stream.ID)
	}
	if err := r.log.Ensure(t.Context(), r.stream); err != nil {
		t.Fatal(err)
	}
	r.streams.Set(r.stream)
	features := defaults(t)
	r.handler = &Handler{
		Client: r.api, Features: func() config.EventingFeatures { return features },
		Ingress: ingress.New(ingress.Options{Log: r.log, Streams: r.streams, Logger: options.Logger}), Stream: r.streams.Stream,
		Clock: r.clock, Log: options.Logger,
	}
	r.restart(options)
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { r.handler.ServeHTTP(w, q) }))
	t.Cleanup(r.server.Close)
	return r
}

// restart is what a new process begins with.
func (r *rig) restart(o Options) {
	if r.handler.Waiting != nil {
		r.handler.Waiting.Close()
	}
	r.handler.Waiting = NewWaiting(o)
	r.t.Cleanup(r.handler.Waiting.Close)
}

// answer is what a request got.
type answer struct {
	code   int
	header http.Header
	body   string
}

// ask sends an event and waits for the answer.
func (r *rig) ask(id, body string) answer { return r.askWithin(r.t.Context(), id, body) }

func (r *rig) askWithin(ctx context.Context, id, body string) answer {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.server.URL+path, bytes.NewBufferString(body))
	if err != nil {
		r.t.Error(err)
		return answer{}
	}
	q.Host = host
	for name, value := range map[string]string{"Specversion": "1.0", "Id": id, "Source": "/client", "Type": "question"} {
		q.Header.Set("Ce-"+name, value)
	}
	got, err := http.DefaultClient.Do(q)
	if err != nil {
		return answer{}
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		r.t.Error(err)
	}
	return answer{got.StatusCode, got.Header, string(text)}
}

// asking sends an event and returns once it waits.
func (r *rig) asking(ctx context.Context, id string) <-chan answer {
	r.t.Helper()
	out := make(chan answer, 1)
	before := r.waiting()
	go func() { out <- r.askWithin(ctx, id, "?") }()
	apiserver.Eventually(r.t, "request "+id+" waits", func(context.Context) bool { return r.waiting() == before+1 && len(r.stored(id)) > 0 })
	return out
}

func (r *rig) waiting() (n int) {
	for _, waits := range r.handler.Waiting.Counts() {
		n += waits
	}
	return n
}

// stored are the events of an id that the Broker has.
func (r *rig) stored(id string) (found []*event.Event) {
	parts, err := r.handler.Waiting.parts(r.stream.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, part := range parts {
		_, next, err := r.log.Bounds(r.t.Context(), part)
		if err != nil {
			r.t.Fatal(err)
		}
		err = log.Scan(r.t.Context(), r.log, part, 1, max(next, 1)-1, func(record log.Record) error {
			if record.Event.ID() == id {
				found = append(found, record.Event)
			}
			return nil
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return found
}

// put stores an event, past the handler.
func (r *rig) put(e *event.Event) {
	if _, err := r.log.Append(context.WithoutCancel(r.t.Context()), r.stream.ID, e); err != nil {
		r.t.Error(err)
	}
}

// reply is the answer to an event as a subscriber makes it.
func reply(to *event.Event) *event.Event {
	correlation, _ := extension.Text(to, "correlationid")
	return replyWith(to.ID(), correlation)
}

func replyWith(id, correlation string) *event.Event {
	e := event.New()
	e.SetID("re-" + id)
	e.SetSource("/subscriber")
	e.SetType("answer")
	e.SetExtension("replyid", correlation)
	_ = e.SetData("text/plain", "answer to "+id)
	return &e
}

// subscribe answers every question that is stored from now on.
func (r *rig) subscribe() {
	parts, err := r.handler.Waiting.parts(r.stream.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for _, part := range parts {
		group.Go(func() {
			_ = r.log.Follow(ctx, part, 0, func(record log.Record) error {
				if record.Event.Type() == "question" {
					r.put(reply(record.Event))
				}
				return nil
			})
		})
	}
	r.t.Cleanup(func() {
		cancel()
		group.Wait()
	})
}

func (r *rig) gets(what string, from <-chan answer, code int) answer {
	r.t.Helper()
	select {
	case got := <-from:
		if got.code != code {
			r.t.Errorf("%s: %d %s, want %d", what, got.code, got.body, code)
		}
		return got
	case <-time.After(20 * time.Second):
		r.t.Fatalf("%s: nothing within 20 s", what)
		return answer{}
	}
}

func uid(of string) types.UID { return types.UID(of) }

// keys are those of Options.
func keys(names ...string) func(context.Context) ([][]byte, error) {
	return func(context.Context) ([][]byte, error) {
		var out [][]byte
		for _, name := range names {
			out = append(out, []byte(name))
		}
		return out, nil
	}
}
