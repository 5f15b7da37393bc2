package requestreply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/config"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/dispatch/decide"
	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// Ingress stores what requests bring; *ingress.Handler is one.
type Ingress interface {
	Receive(w http.ResponseWriter, r *http.Request, s model.Stream) (*ingress.Received, error)
	Store(ctx context.Context, got *ingress.Received) ([]log.Position, error)
	Refuse(w http.ResponseWriter, r *http.Request, s model.Stream, err error)
}

// Handler answers requests to RequestReplies. All fields but Metrics are needed.
type Handler struct {
	// Client reads RequestReplies and Brokers from a cache.
	Client   client.Reader
	Features func() config.EventingFeatures
	Ingress  Ingress
	// Stream finds a stream that events are taken into.
	Stream  func(id model.StreamID) (model.Stream, bool)
	Waiting *Waiting
	Metrics *Metrics
	Clock   clock.WithDelayedExecution
	Log     *slog.Logger
}

// ServeHTTP answers with the reply to the event that a request brings, or says why there is none.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "POST, OPTIONS")
	if r.Method == http.MethodOptions {
		ingress.Handshake(w)
		return
	}
	began := h.Clock.Now()
	terms, stream, err := h.find(r)
	var reply *event.Event
	if err == nil {
		reply, err = h.exchange(w, r, terms, stream)
	}
	if err != nil {
		err = answerable(err, terms)
		code := ingress.Code(err)
		if r.Context().Err() != nil {
			code = left
		}
		h.Metrics.answered(terms.Key, code, h.Clock.Since(began))
		h.Ingress.Refuse(w, r, stream, err)
		return
	}
	h.Metrics.answered(terms.Key, http.StatusOK, h.Clock.Since(began))
	if err := cehttp.WriteResponseWriter(r.Context(), binding.ToMessage(decide.Outgoing(reply)), http.StatusOK, w); err != nil && r.Context().Err() == nil {
		h.Log.Warn("reply not passed on", "requestreply", terms.Key.String(), "source", reply.Source(), "id", reply.ID(), "error", err)
	}
}

// left is the status by which proxies count clients that did not wait for an answer.
const left = 499

// answerable gives an error the status that it is answered with, if it has none.
func answerable(err error, t Terms) error {
	switch {
	case errors.Is(err, ErrLate):
		return ingress.Refusal(http.StatusGatewayTimeout, "RequestReply %s: no event has brought the id back in %s within %s", t.Key, t.Reply, t.Timeout)
	case errors.Is(err, log.ErrUnknown):
		// There is a RequestReply, so it is no 404: its Broker may be made again.
		return ingress.Refusal(http.StatusServiceUnavailable, "RequestReply %s: its Broker is gone: %w", t.Key, err)
	case errors.Is(err, ErrTaken):
		return ingress.Refusal(http.StatusConflict, "RequestReply %s: %w", t.Key, err)
	}
	// Anything else that is not known is a 503.
	return err
}

// find says which RequestReply a request is for, and which stream its events go into.
func (h *Handler) find(r *http.Request) (Terms, model.Stream, error) {
	if r.Method != http.MethodPost {
		return Terms{}, model.Stream{}, ingress.Refusal(http.StatusMethodNotAllowed, "method %s: events are sent with POST", r.Method)
	}
	namespace, name, ok := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return Terms{}, model.Stream{}, ingress.Refusal(http.StatusBadRequest, "path %s is not /NAMESPACE/NAME of a RequestReply", r.URL.Path)
	}
	key := types.NamespacedName{Namespace: namespace, Name: name}
	var rr eventingv1alpha1.RequestReply
	err := h.Client.Get(r.Context(), key, &rr)
	if apierrors.IsNotFound(err) || err == nil && rr.DeletionTimestamp != nil {
		return Terms{}, model.Stream{}, ingress.Refusal(http.StatusNotFound, "there is no RequestReply %s in namespace %s", name, namespace)
	}
	if err != nil {
		return Terms{}, model.Stream{}, fmt.Errorf("read RequestReply %s: %w", key, err)
	}
	var b eventingv1.Broker
	if err := h.Client.Get(r.Context(), types.NamespacedName{Namespace: namespace, Name: rr.Spec.BrokerRef.Name}, &b); err != nil {
		return Terms{}, model.Stream{}, fmt.Errorf("RequestReply %s: read Broker %s: %w", key, rr.Spec.BrokerRef.Name, err)
	}
	terms, err := TermsOf(&rr, &b, h.Features())
	if err != nil {
		return Terms{}, model.Stream{}, ingress.Refusal(http.StatusInternalServerError, "%w", err)
	}
	stream, ok := h.Stream(terms.Stream)
	if !ok {
		return terms, broker.StreamOf(&b), fmt.Errorf("RequestReply %s: Broker %s is not ready yet", key, b.Name)
	}
	return terms, stream, nil
}

// exchange stores the event of a request and waits for the reply to it.
func (h *Handler) exchange(w http.ResponseWriter, r *http.Request, t Terms, s model.Stream) (*event.Event, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer h.Clock.AfterFunc(t.Timeout, func() { cancel(ErrLate) }).Stop()

	got, err := h.Ingress.Receive(w, r, s)
	if err != nil {
		return nil, err
	}
	defer got.Release()
	if len(got.Events) != 1 {
		return nil, ingress.Refusal(http.StatusBadRequest, "%d events in one request: a RequestReply answers one", len(got.Events))
	}
	e := got.Events[0]
	request, err := h.Waiting.Begin(ctx, t, e)
	if err != nil {
		return nil, err
	}
	defer request.End()
	e.SetExtension(t.Correlation, request.Correlation)
	at, err := h.store(ctx, t, got)
	if err != nil {
		return nil, err
	}
	// Only what is being stored counts: how many wait has a bound of its own.
	got.Release()
	if err := request.Stored(ctx, e, at); err != nil {
		return nil, err
	}
	return request.Wait(ctx)
}

// store stores the event of a request. While the Broker cannot, it is tried again as the RequestReply says.
func (h *Handler) store(ctx context.Context, t Terms, got *ingress.Received) (log.Position, error) {
	e := got.Events[0]
	for failed := 1; ; failed++ {
		// Each attempt stamps an event of its own.
		got.Events[0] = decide.Copy(e)
		positions, err := h.Ingress.Store(ctx, got)
		switch {
		case err == nil:
			return positions[0], nil
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case ingress.Code(err) != http.StatusServiceUnavailable:
			return 0, err
		}
		now := h.Clock.Now()
		due, again := decide.Next(t.Delivery, failed, decide.Answer{Status: http.StatusServiceUnavailable}, now, rand.Float64())
		if !again || !h.pause(ctx, due.Sub(now)) {
			return 0, err
		}
	}
}

// pause waits, and reports whether the context has not ended before.
func (h *Handler) pause(ctx context.Context, wait time.Duration) bool {
	timer := h.Clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}
