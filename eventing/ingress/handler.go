package ingress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/trace"
)

// Options say what the ingress works on, and its bounds. Log and Streams are needed.
type Options struct {
	Log     log.Log
	Streams Streams
	// EventBytes bounds the body of a request with one event, for streams that have no limit of their own; 1 MiB by default.
	EventBytes int64
	// BatchBytes bounds the body of a request with a batch; 4 MiB by default.
	BatchBytes int64
	// StreamBytes bounds the bodies of one stream that are being accepted, TotalBytes those of all; 32 MiB and 256 MiB by default. StreamRequests
	// bounds the requests of one stream; 2,000 by default.
	StreamBytes, TotalBytes, StreamRequests int64
	// RetryAfter is what a 503 asks for; a second by default.
	RetryAfter time.Duration
	Metrics    prometheus.Registerer
	// Senders hears who sent what has been taken; nil tells nobody.
	Senders Senders
	// Tracer makes spans of what is accepted and stored; nil makes none.
	Tracer *trace.Tracer
	Logger *slog.Logger
	Now    func() time.Time
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value    *int64
		standard int64
	}{
		{&o.EventBytes, 1 << 20}, {&o.BatchBytes, 4 << 20}, {&o.StreamBytes, 32 << 20}, {&o.TotalBytes, 256 << 20}, {&o.StreamRequests, 2000},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	if o.RetryAfter <= 0 {
		o.RetryAfter = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Senders count who sends where.
type Senders interface {
	// Sent counts an event that a stream has taken from a source. It must not block.
	Sent(stream model.StreamID, source string, at time.Time)
}

// Handler answers requests.
type Handler struct {
	options Options
	metrics *metrics
	total   atomic.Int64
	// loads has a *load for every StreamID that was asked for.
	loads sync.Map
}

// load is what is being accepted for one stream.
type load struct{ requests, bytes atomic.Int64 }

var _ http.Handler = (*Handler)(nil)

// New makes an ingress.
func New(o Options) *Handler {
	return &Handler{options: o.withDefaults(), metrics: newMetrics(o.Metrics, o.Streams)}
}

// refusal is an answer other than 202.
type refusal struct {
	code int
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }

func (r *refusal) Unwrap() error { return r.err }

// Refusal is an error that Refuse answers with a status.
func Refusal(code int, format string, args ...any) error {
	return &refusal{code: code, err: fmt.Errorf(format, args...)}
}

// ServeHTTP accepts the events of a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "POST, OPTIONS")
	if r.Method == http.MethodOptions {
		Handshake(w)
		return
	}
	stream, err := h.find(r)
	if err == nil {
		err = h.take(w, r, stream)
	}
	if err != nil {
		h.metrics.answered(stream, Code(err))
		h.Refuse(w, r, stream, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	h.metrics.answered(stream, http.StatusAccepted)
}

// Handshake answers that of CloudEvents webhooks: from anywhere, as much as there is.
func Handshake(w http.ResponseWriter) {
	w.Header().Set("WebHook-Allowed-Origin", "*")
	w.Header().Set("WebHook-Allowed-Rate", "*")
	w.WriteHeader(http.StatusOK)
}

// find says which stream a request is for.
func (h *Handler) find(r *http.Request) (model.Stream, error) {
	if r.Method != http.MethodPost {
		return model.Stream{}, Refusal(http.StatusMethodNotAllowed, "method %s: events are sent with POST", r.Method)
	}
	if s, ok := h.options.Streams.Host(Hostname(r.Host)); ok {
		if r.URL.Path != "/" && r.URL.Path != "" {
			return s, Refusal(http.StatusNotFound, "%s %s has no path %s, only /", s.Kind, s.Key, r.URL.Path)
		}
		return s, nil
	}
	namespace, name, ok := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	if namespace == "" {
		return model.Stream{}, h.unknown("host %s is no Channel's, and the path names no Broker: use /NAMESPACE/NAME", r.Host)
	}
	if !ok || name == "" || strings.Contains(name, "/") {
		return model.Stream{}, Refusal(http.StatusBadRequest, "path %s is not /NAMESPACE/NAME", r.URL.Path)
	}
	s, ok := h.options.Streams.Broker(model.Key{Namespace: namespace, Name: name})
	if !ok {
		return model.Stream{}, h.unknown("there is no Broker %s in namespace %s, or it is not ready yet", name, namespace)
	}
	return s, nil
}

// unknown refuses what there is not: for good, unless streams that were there before a restart have still to come.
func (h *Handler) unknown(format string, args ...any) error {
	if !h.options.Streams.Settled() {
		return Refusal(http.StatusServiceUnavailable, format+"; not all are known yet after a restart", args...)
	}
	return Refusal(http.StatusNotFound, format, args...)
}

// take reads a request and stores its events.
func (h *Handler) take(w http.ResponseWriter, r *http.Request, s model.Stream) error {
	got, err := h.Receive(w, r, s)
	if err != nil {
		return err
	}
	defer got.Release()
	_, err = h.Store(r.Context(), got)
	return err
}

// Received is what a request brought, read and not stored yet. It holds part of the bounds until Release.
type Received struct {
	Stream model.Stream
	Events []*event.Event

	header  http.Header
	size    int
	began   time.Time
	release func()
}

// Release gives back its part of the bounds.
func (r *Received) Release() { r.release() }

// Receive reads the events of a request for a stream. Its errors are for Refuse.
func (h *Handler) Receive(w http.ResponseWriter, r *http.Request, s model.Stream) (*Received, error) {
	began := h.options.Now()
	most := s.Limits.Event
	if most <= 0 {
		most = h.options.EventBytes
	}
	if batched(r.Header) {
		most = max(most, h.options.BatchBytes)
	}
	if r.ContentLength > most {
		return nil, Refusal(http.StatusRequestEntityTooLarge, "the body has %d bytes, %s %s takes %d", r.ContentLength, s.Kind, s.Key, most)
	}
	reserved := r.ContentLength
	if reserved < 0 {
		reserved = most
	}
	release, err := h.reserve(s, reserved)
	if err != nil {
		return nil, err
	}
	events, size, err := readEvents(w, r, most)
	if err != nil {
		release()
		return nil, err
	}
	return &Received{Stream: s, Events: events, header: r.Header, size: size, began: began, release: sync.OnceFunc(release)}, nil
}

// Store stores what was received, as it came or as it was changed since, and says where. Its errors are for Refuse.
func (h *Handler) Store(ctx context.Context, got *Received) ([]log.Position, error) {
	span := h.accepting(got.header, got.Stream, got.Events, got.began)
	positions, err := h.store(ctx, got.Stream, 1, got.Events, span)
	h.end(span, err)
	if err != nil {
		return nil, err
	}
	if h.options.Senders != nil {
		for _, e := range got.Events {
			h.options.Senders.Sent(got.Stream.ID, e.Source(), got.began)
		}
	}
	h.metrics.accepted(got.Stream, len(got.Events), got.size, h.options.Now().Sub(got.began))
	return positions, nil
}

// readEvents reads a body of at most so many bytes.
func readEvents(w http.ResponseWriter, r *http.Request, most int64) (events []*event.Event, size int, err error) {
	body, err := read(w, r, most)
	if err != nil {
		return nil, 0, err
	}
	events, err = Parse(r.Header, body)
	switch {
	case errors.Is(err, errMedia):
		return nil, 0, &refusal{code: http.StatusUnsupportedMediaType, err: err}
	case err != nil:
		return nil, 0, &refusal{code: http.StatusBadRequest, err: err}
	}
	return events, len(body), nil
}

func read(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := b.ReadFrom(io.Reader(http.MaxBytesReader(w, r.Body, most)))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, Refusal(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", most)
	case err != nil:
		return nil, Refusal(http.StatusBadRequest, "the body ends early: %w", err)
	}
	return b.Bytes(), nil
}

// reserve takes part of the bounds until the function it returns is called.
func (h *Handler) reserve(s model.Stream, n int64) (func(), error) {
	value, ok := h.loads.Load(s.ID)
	if !ok {
		value, _ = h.loads.LoadOrStore(s.ID, &load{})
	}
	l := value.(*load)
	requests, own, all := l.requests.Add(1), l.bytes.Add(n), h.total.Add(n)
	release := func() {
		l.requests.Add(-1)
		l.bytes.Add(-n)
		h.total.Add(-n)
	}
	o := h.options
	if requests > o.StreamRequests || own > max(o.StreamBytes, n) || all > max(o.TotalBytes, n) {
		release()
		return nil, Refusal(http.StatusServiceUnavailable, "%s %s: too many events are being accepted at this moment: send again later", s.Kind, s.Key)
	}
	return release, nil
}

// store stamps events and appends them. spend is how many hops entering a Broker takes.
func (h *Handler) store(ctx context.Context, s model.Stream, spend int32, events []*event.Event, below trace.Span) ([]log.Position, error) {
	if s.Kind == model.Broker {
		now := h.options.Now()
		for _, e := range events {
			if err := stamp(e, spend, now); err != nil {
				return nil, fmt.Errorf("%w: %w", log.ErrInvalid, err)
			}
		}
	}
	if len(events) == 0 {
		return nil, nil
	}
	span := h.storing(s, events, below)
	positions, err := h.options.Log.Append(ctx, s.ID, events...)
	h.end(span, err)
	return positions, err
}

// Accept takes events into a stream in the same way as a request: for a Broker, it sets the hops of those that have none, and refuses those
// that have none left. It takes no hop: whoever brings back a reply has. The events are changed. Its errors wrap those of
// the log.
func (h *Handler) Accept(ctx context.Context, id model.StreamID, events ...*event.Event) error {
	s, ok := h.options.Streams.Stream(id)
	if !ok {
		return fmt.Errorf("stream %s: %w", id, log.ErrUnknown)
	}
	began, size := h.options.Now(), 0
	for _, e := range events {
		if err := normalize(e); err != nil {
			return fmt.Errorf("%w: %w", log.ErrInvalid, err)
		}
		size += len(e.DataEncoded)
	}
	release, err := h.reserve(s, int64(size))
	if err != nil {
		return fmt.Errorf("%w: %w", log.ErrUnavailable, err)
	}
	defer release()
	if _, err := h.store(ctx, s, 0, events, trace.Span{}); err != nil {
		return err
	}
	h.metrics.accepted(s, len(events), size, h.options.Now().Sub(began))
	return nil
}

// Forget drops what is counted for a stream that is gone.
func (h *Handler) Forget(s model.Stream) {
	h.loads.Delete(s.ID)
	h.metrics.forget(s)
}

// Code is the status that Refuse answers an error with.
func Code(err error) int {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r.code
	case errors.Is(err, log.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, log.ErrUnknown):
		return http.StatusNotFound
	case errors.Is(err, log.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusServiceUnavailable
}

// Refuse answers a request for a stream with the reason why it is refused.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, s model.Stream, err error) {
	status := Code(err)
	if status == http.StatusServiceUnavailable {
		seconds := int64((h.options.RetryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
		if r.Context().Err() == nil {
			h.options.Logger.Warn("event refused", "kind", s.Kind, "stream", s.Key.String(), "err", err)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, err.Error()+"\n")
}
