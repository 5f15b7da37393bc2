package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	"ebb.dev/ebb/eventing/ingress"
)

const (
	// eventBytes bounds the body of a request; a Secret holds as much.
	eventBytes = corev1.MaxSecretSize
	// most is how many requests are answered at once. Each costs writes to the API.
	most = 64
)

// Handler takes events for JobSinks.
type Handler struct {
	// Client reads JobSinks from a cache and writes; Reader reads Jobs and Secrets from the API server itself.
	Client client.Client
	Reader client.Reader
	Log    *slog.Logger

	slots chan struct{}
}

// NewHandler makes a Handler.
func NewHandler(c client.Client, r client.Reader, log *slog.Logger) *Handler {
	return &Handler{Client: c, Reader: r, Log: log, slots: make(chan struct{}, most)}
}

// refusal is an answer other than one that all is well.
type refusal struct {
	code int
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }

func refuse(code int, format string, args ...any) error {
	return &refusal{code, fmt.Errorf(format, args...)}
}

// ServeHTTP makes an event's Job, or says how it fares.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		h.answer(w, r, refuse(http.StatusServiceUnavailable, "too many events are being accepted at this moment: send again later"))
		return
	}
	switch r.Method {
	case http.MethodPost:
		h.answer(w, r, h.take(w, r))
	case http.MethodGet:
		h.answer(w, r, h.look(w, r))
	default:
		w.Header().Set("Allow", "GET, POST")
		h.answer(w, r, refuse(http.StatusMethodNotAllowed, "method %s: events are sent with POST", r.Method))
	}
}

// answer says what went wrong, if anything did.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		return
	}
	code := http.StatusInternalServerError
	var known *refusal
	if errors.As(err, &known) {
		code = known.code
	}
	if code >= http.StatusInternalServerError && r.Context().Err() == nil {
		h.Log.Warn("event refused", "kind", "JobSink", "path", r.URL.Path, "error", err)
	}
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, err.Error()+"\n")
}

// take makes the Job of the event that a request carries.
func (h *Handler) take(w http.ResponseWriter, r *http.Request) error {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return refuse(http.StatusBadRequest, "path %s is not /NAMESPACE/NAME of a JobSink", r.URL.Path)
	}
	name := types.NamespacedName{Namespace: parts[0], Name: parts[1]}
	sink, err := h.sink(r.Context(), name)
	if err != nil {
		return err
	}
	e, err := read(w, r)
	if err != nil {
		return err
	}
	if err := h.run(r.Context(), sink, e); err != nil {
		return err
	}
	w.Header().Set("Location", location(name, e.Source(), e.ID()))
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (h *Handler) sink(ctx context.Context, name types.NamespacedName) (*sinksv1alpha1.JobSink, error) {
	var sink sinksv1alpha1.JobSink
	err := h.Client.Get(ctx, name, &sink)
	if apierrors.IsNotFound(err) || err == nil && sink.DeletionTimestamp != nil {
		return nil, refuse(http.StatusNotFound, "there is no JobSink %s in namespace %s", name.Name, name.Namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("read JobSink %s: %w", name, err)
	}
	return &sink, nil
}

// read takes one event.
func read(w http.ResponseWriter, r *http.Request) (*event.Event, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, eventBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", int64(eventBytes))
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body ends early: %w", err)
	}
	events, err := ingress.Parse(r.Header, body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%w", err)
	}
	if len(events) != 1 {
		return nil, refuse(http.StatusBadRequest, "%d events in one request: a JobSink takes one", len(events))
	}
	return events[0], nil
}

// run stores a Job and its event. What is there already is left as it is; what another JobSink of that name has left behind is on its way out.
func (h *Handler) run(ctx context.Context, sink *sinksv1alpha1.JobSink, e *event.Event) error {
	j := JobOf(sink, e)
	secret, err := SecretOf(j, sink.Name, e)
	if err != nil {
		return refuse(http.StatusBadRequest, "%w", err)
	}
	if size := len(secret.Data[file]); size > corev1.MaxSecretSize {
		return refuse(http.StatusRequestEntityTooLarge, "the event has %d bytes as JSON, a Secret holds %d", size, corev1.MaxSecretSize)
	}
	if err := h.keep(ctx, j, sink.UID); err != nil {
		return err
	}
	secret.OwnerReferences[0].UID = j.UID
	return h.keep(ctx, secret, j.UID)
}

// keep stores an object, or finds it stored and fills it in from there.
func (h *Handler) keep(ctx context.Context, o client.Object, owner types.UID) error {
	key := client.ObjectKeyFromObject(o)
	err := h.Client.Create(ctx, o)
	if err == nil {
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make %T %s: %w", o, key, err)
	}
	if err := h.Reader.Get(ctx, key, o); err != nil {
		return fmt.Errorf("read %T %s: %w", o, key, err)
	}
	if controller := metav1.GetControllerOf(o); controller == nil || controller.UID != owner {
		return refuse(http.StatusServiceUnavailable, "%T %s belongs to something else: delete it, or send again once it is gone", o, key)
	}
	return nil
}

// look says how the Job of an event fares.
func (h *Handler) look(w http.ResponseWriter, r *http.Request) error {
	name, source, id, err := place(r.URL)
	if err != nil {
		return err
	}
	var j batchv1.Job
	err = h.Reader.Get(r.Context(), types.NamespacedName{Namespace: name.Namespace, Name: NameOf(name.Name, source, id)}, &j)
	if apierrors.IsNotFound(err) {
		return refuse(http.StatusNotFound, "JobSink %s has no Job for event %s of %s", name, id, source)
	}
	if err != nil {
		return fmt.Errorf("read the Job of event %s of %s: %w", id, source, err)
	}
	code, reason := state(&j)
	if reason == "" {
		w.Header().Set("Location", location(name, source, id))
	} else {
		w.Header().Set("Reason", reason)
	}
	w.WriteHeader(code)
	return nil
}

// place reads a location.
func place(u *url.URL) (sink types.NamespacedName, source, id string, err error) {
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	if len(parts) != 8 || parts[0] != "namespaces" || parts[2] != "name" || parts[4] != "sources" || parts[6] != "ids" {
		return sink, "", "", refuse(http.StatusBadRequest, "path %s is not /namespaces/NAMESPACE/name/NAME/sources/SOURCE/ids/ID", u.Path)
	}
	values := make([]string, 0, 4)
	for i := 1; i < len(parts); i += 2 {
		value, err := url.PathUnescape(parts[i])
		if err != nil || value == "" {
			return sink, "", "", refuse(http.StatusBadRequest, "path %s is not /namespaces/NAMESPACE/name/NAME/sources/SOURCE/ids/ID", u.Path)
		}
		values = append(values, value)
	}
	return types.NamespacedName{Namespace: values[0], Name: values[1]}, values[2], values[3], nil
}

// state is how a Job fares, as Knative says it: 200 if it is complete, 400 if it failed, 202 while it runs.
func state(j *batchv1.Job) (code int, reason string) {
	for _, c := range j.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobFailed:
			return http.StatusBadRequest, "Failed"
		case c.Type == batchv1.JobComplete:
			return http.StatusOK, "Complete"
		}
	}
	return http.StatusAccepted, ""
}
