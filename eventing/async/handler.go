package async

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/eventing/async/call"
	"ebb.dev/ebb/eventing/async/journal"
	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

const (
	resultSuffix = "/result"
	retrySuffix  = "/retry"
	// longestWait bounds how long a client can wait for the end.
	longestWait = 5 * time.Minute
	// reading bounds the bodies that are being read at once, in bytes.
	reading = 256 << 20
	// longestKey and longestURL bound what is kept in memory of a request.
	longestKey = 255
	longestURL = 2048
)

// Handler answers clients: gateways lead requests here that are to be answered later, and questions about them.
type Handler struct {
	Engine *Engine
	// reading is how many bytes of bodies are being read.
	reading atomic.Int64
}

var _ http.Handler = (*Handler)(nil)

// Takes reports whether a request is for this handler: a gateway says so.
func Takes(r *http.Request) bool { return r.Header.Get(async.ServiceHeader) != "" }

// refusal is an answer that says why not.
type refusal struct {
	code int
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(code int, format string, args ...any) error {
	return &refusal{code: code, err: fmt.Errorf(format, args...)}
}

// ServeHTTP answers.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	service, err := serviceOf(r)
	if err == nil {
		if rest, asked := strings.CutPrefix(r.URL.Path, async.Path); asked {
			err = h.question(w, r, service, rest)
		} else {
			err = h.accept(w, r, service)
		}
	}
	if err != nil {
		h.refused(w, r, err)
	}
}

func serviceOf(r *http.Request) (model.Key, error) {
	namespace, name, ok := strings.Cut(r.Header.Get(async.ServiceHeader), "/")
	if !ok || namespace == "" || name == "" || r.Header.Get(async.HostHeader) == "" {
		return model.Key{}, refuse(http.StatusBadRequest, "no gateway of Ebb has sent this request: %s or %s is missing", async.ServiceHeader, async.HostHeader)
	}
	return model.Key{Namespace: namespace, Name: name}, nil
}

// accept stores a request and answers 202; or, if the client would wait and it ends in time, with the answer itself.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request, service model.Key) error {
	policy, err := h.Engine.options.Policy(r.Context(), service)
	if err != nil {
		return err
	}
	s, err := h.submission(w, r, service, policy)
	if err != nil {
		return err
	}
	record, again, err := h.Engine.Accept(r.Context(), s, policy)
	if err != nil {
		return err
	}
	if again {
		w.Header().Set(async.HeaderPrefix+"Again", "true")
	}
	if wait := waits(r); wait > 0 {
		ended, err := h.Engine.Wait(r.Context(), service, record.ID, wait)
		if err == nil && ended.State.Final() {
			return h.result(w, r, ended)
		}
	}
	w.Header().Set("Location", async.Path+record.ID)
	w.Header().Set(async.AppliedHeader, string(async.RespondAsync))
	return status(w, r, http.StatusAccepted, record)
}

// waits is how long the client would wait.
func waits(r *http.Request) time.Duration {
	return min(async.Wait(r.Header.Values(async.PreferHeader)), longestWait)
}

// submission reads a request.
func (h *Handler) submission(w http.ResponseWriter, r *http.Request, service model.Key, policy async.Policy) (Submission, error) {
	s := Submission{Service: service, Method: r.Method, Key: r.Header.Get(async.IdempotencyHeader), Callback: r.Header.Get(async.CallbackHeader)}
	if r.Header.Get("Upgrade") != "" {
		return s, refuse(http.StatusBadRequest, "a connection that is to become another (Upgrade) cannot be answered later")
	}
	if len(s.Key) > longestKey {
		return s, refuse(http.StatusBadRequest, "%s has more than %d characters", async.IdempotencyHeader, longestKey)
	}
	if s.Callback != "" {
		if err := async.CheckURL(s.Callback); err != nil || len(s.Callback) > longestURL {
			return s, refuse(http.StatusBadRequest, "%s: %q is no URL that can be told: it must be an absolute http or https URL without a user, of at most %d characters",
				async.CallbackHeader, s.Callback, longestURL)
		}
	}
	var err error
	if s.Target, err = call.Target(r); err != nil {
		return s, refuse(http.StatusBadRequest, "%w", err)
	}
	if err := terms(&s, r.Header, policy); err != nil {
		return s, err
	}
	body, err := h.read(w, r, policy.Bytes)
	if err != nil {
		return s, err
	}
	header := call.KeptOfRequest(r.Header)
	if header.Get("X-Forwarded-Host") == "" {
		header.Set("X-Forwarded-Host", r.Host)
	}
	s.Message = journal.Message{Host: r.Header.Get(async.HostHeader), Header: header, Body: body}
	return s, nil
}

// terms are the Service's, or what the client asks for within them.
func terms(s *Submission, header http.Header, policy async.Policy) error {
	s.Terms = request.Terms{Retry: policy.Retry, Backoff: policy.Backoff, Timeout: policy.Timeout, TTL: policy.TTL, Bytes: policy.Bytes}
	for name, to := range map[string]struct {
		value *time.Duration
		most  time.Duration
		least time.Duration
	}{
		async.DelayHeader:   {&s.Delay, async.MaxTTL, 0},
		async.TimeoutHeader: {&s.Terms.Timeout, policy.Timeout, time.Millisecond},
		async.TTLHeader:     {&s.Terms.TTL, policy.TTL, time.Second},
	} {
		value := header.Get(name)
		if value == "" {
			continue
		}
		d, err := async.Seconds(value, to.most)
		if err != nil || d < to.least {
			return refuse(http.StatusBadRequest, "%s: %q: write whole seconds or a duration such as 20m, at most %s", name, value, to.most)
		}
		*to.value = d
	}
	if value := header.Get(async.RetryHeader); value != "" {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > policy.Retry {
			return refuse(http.StatusBadRequest, "%s: %q: write a whole number from 0 to %d", async.RetryHeader, value, policy.Retry)
		}
		s.Terms.Retry = n
	}
	return nil
}

// read reads a body of at most so many bytes.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if r.ContentLength > most {
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body has %d bytes, the Service takes %d; %s allows more", r.ContentLength, most, async.MaxBytesKey)
	}
	reserved := r.ContentLength
	if reserved < 0 {
		reserved = most
	}
	defer h.reading.Add(-reserved)
	if h.reading.Add(reserved) > reading {
		return nil, fmt.Errorf("%w to be read at this moment", ErrFull)
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := b.ReadFrom(io.Reader(http.MaxBytesReader(w, r.Body, most)))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body has more than the %d bytes that the Service takes; %s allows more", most, async.MaxBytesKey)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body ends early: %w", err)
	}
	return b.Bytes(), nil
}

// question answers what became of a request: rest is the path after async.Path.
func (h *Handler) question(w http.ResponseWriter, r *http.Request, service model.Key, rest string) error {
	id, result := strings.CutSuffix(rest, resultSuffix)
	id, retry := strings.CutSuffix(id, retrySuffix)
	methods := []string{http.MethodGet, http.MethodHead, http.MethodDelete}
	switch {
	case result && retry:
		return refuse(http.StatusNotFound, "%s%s: no such path", async.Path, rest)
	case result:
		methods = methods[:2]
	case retry:
		methods = []string{http.MethodPost}
	}
	if !slices.Contains(methods, r.Method) {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		return refuse(http.StatusMethodNotAllowed, "method %s: only %s", r.Method, strings.Join(methods, ", "))
	}
	w.Header().Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodDelete:
		record, err := h.Engine.Cancel(r.Context(), service, id)
		if errors.Is(err, request.ErrFinal) && record.State == request.Cancelled {
			err = nil
		}
		if err != nil {
			return err
		}
		return status(w, r, http.StatusOK, record)
	case http.MethodPost:
		record, err := h.Engine.Again(r.Context(), service, id)
		if err != nil {
			if record.ID != "" {
				return &refusal{http.StatusConflict, err}
			}
			return err
		}
		w.Header().Set("Location", async.Path+record.ID)
		return status(w, r, http.StatusAccepted, record)
	}
	record, err := h.Engine.Wait(r.Context(), service, id, waits(r))
	if err != nil {
		return err
	}
	if !result {
		return status(w, r, http.StatusOK, record)
	}
	if !record.State.Final() {
		w.Header().Set("Location", async.Path+record.ID)
		w.Header().Set("Retry-After", "1")
		return status(w, r, http.StatusAccepted, record)
	}
	return h.result(w, r, record)
}

// result answers with the answer of a request that has ended: its status, headers and body.
func (h *Handler) result(w http.ResponseWriter, r *http.Request, record request.Record) error {
	if !record.Kept {
		return withoutAnswer(record)
	}
	answer, err := h.Engine.Answer(r.Context(), record)
	if err != nil {
		return err
	}
	header := w.Header()
	for name, values := range answer.Header {
		header[name] = values
	}
	header.Set(async.IDHeader, record.ID)
	header.Set(async.StateHeader, string(record.State))
	w.WriteHeader(record.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(answer.Body)
	}
	return nil
}

// withoutAnswer says why there is none.
func withoutAnswer(r request.Record) error {
	switch {
	case r.State == request.Cancelled:
		return refuse(http.StatusGone, "request %s was cancelled", r.ID)
	case r.Status != 0:
		return refuse(http.StatusInsufficientStorage, "request %s was answered %d: %s", r.ID, r.Status, r.Error)
	}
	return refuse(http.StatusGatewayTimeout, "request %s got no answer in %d attempts: %s", r.ID, r.Attempts, r.Error)
}

// status answers with what is known of a request.
func status(w http.ResponseWriter, r *http.Request, code int, record request.Record) error {
	data, err := json.MarshalIndent(Describe(record), "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set(async.IDHeader, record.ID)
	w.Header().Set(async.StateHeader, string(record.State))
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(data, '\n'))
	}
	return nil
}

// code is the status for an error.
func code(err error) int {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r.code
	case errors.Is(err, ErrUnknown):
		return http.StatusNotFound
	case errors.Is(err, request.ErrFinal):
		return http.StatusConflict
	case errors.Is(err, ErrMismatch):
		return http.StatusUnprocessableEntity
	case errors.Is(err, log.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusServiceUnavailable
}

func (h *Handler) refused(w http.ResponseWriter, r *http.Request, err error) {
	code := code(err)
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
		if r.Context().Err() == nil && !errors.Is(err, context.Canceled) {
			h.Engine.options.Logger.Warn("request to be answered later refused", "service", r.Header.Get(async.ServiceHeader), "error", err)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
