package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/crds/config"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	"ebb.dev/ebb/eventing/ingress"
)

// lookBytes bounds a body that is looked at before it is decided on.
const lookBytes = 4 << 20

// Guard lets requests through to whatever takes events, if their senders may send.
type Guard struct {
	Next     http.Handler
	Features func() config.EventingFeatures
	// Target finds what a request is for; false leaves the request to Next, which knows nothing of it either.
	Target func(r *http.Request) (Target, bool, error)
	// Policies are those of a namespace, from a cache.
	Policies func(ctx context.Context, namespace string) ([]eventingv1alpha1.EventPolicy, error)
	// Subject is whose a token is; *Verifier has one.
	Subject func(ctx context.Context, token, audience string) (string, error)
	// Part reports whether a sender is a part of the same flow as a target; *Reader has one.
	Part func(ctx context.Context, t Target, subject string) (bool, error)
	Log  *slog.Logger

	mu    sync.Mutex
	rules map[types.NamespacedName]compiled
}

// compiled are the rules of a target, as of a version of what they were made from.
type compiled struct {
	version string
	rules   *Rules
}

// refusal is an answer of a Guard.
type refusal struct {
	code int
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }

// Is has a refusal of who may not send be ErrForbidden.
func (r *refusal) Is(target error) bool {
	return target == ErrForbidden && r.code == http.StatusForbidden
}

// ErrForbidden is that a sender may not send.
var ErrForbidden = errors.New("the sender may not send")

// ServeHTTP answers those who may not send, and hands on all others.
func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := g.Features(); f.Enabled(config.AuthenticationOIDC) && r.Method != http.MethodOptions {
		if err := g.check(w, r, f.Flag(config.DefaultAuthorizationMode)); err != nil {
			g.refuse(w, r, err)
			return
		}
	}
	g.Next.ServeHTTP(w, r)
}

func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code := http.StatusServiceUnavailable
	var known *refusal
	if errors.As(err, &known) {
		code = known.code
	}
	switch code {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
		if r.Context().Err() == nil {
			g.Log.Warn("sender not known: event refused", "host", r.Host, "path", r.URL.Path, "error", err)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, err.Error()+"\n")
}

func (g *Guard) check(w http.ResponseWriter, r *http.Request, mode config.Flag) error {
	target, found, err := g.Target(r)
	if err != nil || !found {
		return err
	}
	token, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !given || token == "" {
		return &refusal{http.StatusUnauthorized, fmt.Errorf("the request has no bearer token; send one of a ServiceAccount for the audience %s", target.Audience())}
	}
	subject, err := g.Subject(r.Context(), token, target.Audience())
	if errors.Is(err, ErrUnauthenticated) {
		return &refusal{http.StatusUnauthorized, fmt.Errorf("%w: its audience has to be %s", err, target.Audience())}
	}
	if err != nil {
		return err
	}
	rules, err := g.rulesOf(r.Context(), target, mode)
	if err != nil {
		return err
	}
	if !rules.Looks(subject) {
		return g.allow(r.Context(), target, rules, subject, nil)
	}
	events, err := look(w, r)
	if err != nil {
		return err
	}
	return g.allow(r.Context(), target, rules, subject, events)
}

// ErrNobody is that there is no account yet that an object sends as.
var ErrNobody = errors.New("there is no ServiceAccount yet to send as")

// May says why a sender that this process knows may not send an event to a target, with ErrForbidden; nil if it may, or nobody is asked. Another
// error says that nobody knows, with ErrPending or ErrNobody if that will pass.
func (g *Guard) May(ctx context.Context, subject string, t Target, e *event.Event) error {
	f := g.Features()
	if !f.Enabled(config.AuthenticationOIDC) {
		return nil
	}
	if subject == "" {
		return fmt.Errorf("%s: %w", t.Audience(), ErrNobody)
	}
	rules, err := g.rulesOf(ctx, t, f.Flag(config.DefaultAuthorizationMode))
	if err != nil {
		return err
	}
	return g.allow(ctx, t, rules, subject, []*event.Event{e})
}

// allow says why a sender may not send events, which may be none if they do not matter.
func (g *Guard) allow(ctx context.Context, t Target, rules *Rules, subject string, events []*event.Event) error {
	if len(events) == 0 {
		events = []*event.Event{nil}
	}
	var err error
	for _, e := range events {
		if err = rules.Allow(subject, e); err != nil {
			break
		}
	}
	if err == nil {
		return nil
	}
	part, failed := g.Part(ctx, t, subject)
	switch {
	case failed != nil:
		return failed
	case part:
		return nil
	case errors.Is(err, ErrPending):
		return err
	}
	return &refusal{http.StatusForbidden, err}
}

// look reads the events of a request and leaves it as it was.
func look(w http.ResponseWriter, r *http.Request) ([]*event.Event, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, lookBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &refusal{http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", int64(lookBytes))}
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, fmt.Errorf("the body ends early: %w", err)}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	events, err := ingress.Parse(r.Header, body)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err}
	}
	return events, nil
}

// rulesOf are a target's rules, compiled anew if anything that they rest on has changed.
func (g *Guard) rulesOf(ctx context.Context, t Target, mode config.Flag) (*Rules, error) {
	all, err := g.Policies(ctx, t.Key.Namespace)
	if err != nil {
		return nil, err
	}
	applying := Applying(all, t)
	version := string(mode)
	for i := range applying {
		version += "/" + string(applying[i].UID) + "@" + applying[i].ResourceVersion
	}
	key := types.NamespacedName{Namespace: t.Key.Namespace, Name: t.Audience()}
	g.mu.Lock()
	defer g.mu.Unlock()
	if have, ok := g.rules[key]; ok && have.version == version {
		return have.rules, nil
	}
	rules, err := NewRules(t, applying, mode)
	if err != nil {
		return nil, err
	}
	if g.rules == nil || len(g.rules) >= remembered {
		g.rules = map[types.NamespacedName]compiled{}
	}
	g.rules[key] = compiled{version, rules}
	return rules, nil
}
