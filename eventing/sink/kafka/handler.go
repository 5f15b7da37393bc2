package kafka

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/model"
)

const (
	// eventBytes bounds the body of a request, Kafka's own limit of a batch.
	eventBytes = 1 << 20
	// most is how many requests are answered at once.
	most = 1024
)

// Handler takes events for KafkaSinks.
type Handler struct {
	topics *Topics
	log    *slog.Logger
	slots  chan struct{}
}

// NewHandler makes a Handler.
func NewHandler(topics *Topics, log *slog.Logger) *Handler {
	return &Handler{topics: topics, log: log, slots: make(chan struct{}, most)}
}

// refusal is an answer other than 202.
type refusal struct {
	code int
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }

func refuse(code int, format string, args ...any) error {
	return &refusal{code, fmt.Errorf(format, args...)}
}

// ServeHTTP writes the events of a request to the sink's topic.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h.take(w, r)
	if err == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	code := http.StatusServiceUnavailable
	var known *refusal
	switch {
	case errors.As(err, &known):
		code = known.code
	case errors.Is(err, ErrUnknown):
		code = http.StatusNotFound
	case errors.Is(err, ErrTooLarge):
		code = http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrInvalid):
		code = http.StatusBadRequest
	}
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
		if r.Context().Err() == nil {
			h.log.Warn("event refused", "kind", "KafkaSink", "path", r.URL.Path, "error", err)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, err.Error()+"\n")
}

func (h *Handler) take(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return refuse(http.StatusMethodNotAllowed, "method %s: events are sent with POST", r.Method)
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return refuse(http.StatusNotFound, "path %s is not /NAMESPACE/NAME of a KafkaSink", r.URL.Path)
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		return refuse(http.StatusServiceUnavailable, "too many events are being accepted at this moment: send again later")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, eventBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", int64(eventBytes))
	case err != nil:
		return refuse(http.StatusBadRequest, "the body ends early: %w", err)
	}
	events, err := ingress.Parse(r.Header, body)
	if err != nil {
		return refuse(http.StatusBadRequest, "%w", err)
	}
	name := model.Key{Namespace: parts[0], Name: parts[1]}
	if err := h.topics.Append(r.Context(), name, events...); err != nil {
		return fmt.Errorf("KafkaSink %s: %w", name, err)
	}
	return nil
}
