package send

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/trace"
)

// Options say how to reach destinations. The zero value reaches every one directly.
type Options struct {
	// Route says where requests for a URL go: to the address dial (host:port), or to the URL's own host if that is empty. The Host header stays
	// the URL's. nil routes everything directly.
	Route func(*url.URL) (dial string)
	// Missing reports whether the way to a host may not have been made yet at a time. It is asked of hosts that Route leads elsewhere and that
	// answered 404 there; nil knows of none.
	Missing func(host string, at time.Time) bool
	// Identity proves to destinations who sends; without it, one with an audience cannot be reached.
	Identity Identity
	// Transport makes the transport for a set of PEM roots, "" for the system's; nil makes pooling ones.
	Transport func(roots string) (http.RoundTripper, error)
	// ReplyBytes is the largest reply that is read; 1 MiB if zero.
	ReplyBytes int64
}

// Identity proves who sends.
type Identity interface {
	// Token is a bearer token for a destination, "" if it asks for none.
	Token(ctx context.Context, as model.Account, to model.Destination) (string, error)
	// Doubted is told that a destination answered 401 to a token, or to none. It reports whether another attempt would have another proof.
	Doubted(ctx context.Context, as model.Account, to model.Destination, token string) bool
}

// Request is what to send.
type Request struct {
	Event *event.Event
	To    model.Destination
	// As is who sends, where that is asked.
	As model.Account
	// Structured sends the event as one JSON document.
	Structured bool
	// Trace is what the receiver goes on from, in place of the context that the event carries; the zero value leaves that.
	Trace trace.Context
	// WantReply says to the receiver that its answer may be an event.
	WantReply bool
	// Timeout bounds the whole, the answer's body included; zero does not.
	Timeout time.Duration
}

// Answer is what came back.
type Answer struct {
	// Status is the final HTTP status, 0 if there was none.
	Status int
	// Reply is the event that a 200 carried; nil if there is none.
	Reply *event.Event
	// Malformed says that a 200 carried something that was meant to be an event and is none.
	Malformed bool
	// RetryAfter is that header.
	RetryAfter string
	// Text is the beginning of the answer's body if the status is not a 2xx, or why there was no answer.
	Text string
	// Err is why there was no answer.
	Err error
	// Again is not zero where the event is as good as not sent: the sender could not say who it is, as there was no token or it may be out of
	// date, or the way there was not made yet. Another attempt may fare better after it.
	Again time.Duration
}

// Unsent reports whether the event is as good as not sent.
func (a Answer) Unsent() bool { return a.Again > 0 }

// How soon what was not sent may be tried again: tokens are asked of the API, ways are waited for.
const (
	againProven = time.Second
	againThere  = 200 * time.Millisecond
)

// unproven is why there is no token.
type unproven struct{ err error }

func (u *unproven) Error() string { return u.err.Error() }
func (u *unproven) Unwrap() error { return u.err }

const (
	defaultReplyBytes = 1 << 20
	// textBytes is as much of a refusal as is kept.
	textBytes = 1024
	// drainBytes and drainTime are as much of a body, and as long, as is read to use a connection again.
	drainBytes = 64 << 10
	drainTime  = 100 * time.Millisecond
)

// Sender sends events. It may be used by many at once.
type Sender struct {
	options Options

	mu         sync.Mutex
	transports map[string]http.RoundTripper
}

// New is a Sender.
func New(o Options) *Sender {
	if o.ReplyBytes == 0 {
		o.ReplyBytes = defaultReplyBytes
	}
	s := &Sender{options: o, transports: map[string]http.RoundTripper{}}
	if s.options.Transport == nil {
		s.options.Transport = s.pooling
	}
	return s
}

// Close ends idle connections.
func (s *Sender) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transports {
		if c, ok := t.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}

// Send makes the request and reads its answer. The event is not changed.
func (s *Sender) Send(ctx context.Context, r Request) Answer {
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("no answer within %s", r.Timeout))
		defer cancel()
	}
	answer, err := s.exchange(ctx, r)
	if err != nil {
		var again time.Duration
		if nobody := (*unproven)(nil); errors.As(err, &nobody) {
			again = againProven
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return Answer{Err: err, Text: "no answer: " + err.Error(), Again: again}
	}
	return answer
}

func (s *Sender) exchange(ctx context.Context, r Request) (Answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	token, err := s.token(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	request, err := s.request(ctx, r, token)
	if err != nil {
		return Answer{}, err
	}
	transport, err := s.transport(r.To.CACerts)
	if err != nil {
		return Answer{}, err
	}
	begun := time.Now()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return Answer{}, err
	}
	defer func() {
		// A body that does not end costs its connection, not the worker.
		defer time.AfterFunc(drainTime, cancel).Stop()
		_, _ = io.CopyN(io.Discard, response.Body, drainBytes)
		_ = response.Body.Close()
	}()
	answer, err := s.read(response)
	if err != nil {
		return answer, err
	}
	switch {
	case answer.Status == http.StatusUnauthorized && s.options.Identity != nil && s.options.Identity.Doubted(ctx, r.As, r.To, token):
		answer.Again = againProven
	case answer.Status == http.StatusNotFound && s.missing(request, begun):
		answer.Again, answer.Text = againThere, "the gateways do not lead to "+request.Host+" yet"
	}
	return answer, nil
}

// missing reports whether a request may have found no way to its host.
func (s *Sender) missing(r *http.Request, at time.Time) bool {
	return s.options.Missing != nil && r.URL.Host != r.Host && s.options.Missing((&url.URL{Host: r.Host}).Hostname(), at)
}

// token is the one to send; "" is none.
func (s *Sender) token(ctx context.Context, r Request) (string, error) {
	switch {
	case s.options.Identity != nil:
		token, err := s.options.Identity.Token(ctx, r.As, r.To)
		if err != nil {
			return "", &unproven{fmt.Errorf("token for %s: %w", r.To.URL, err)}
		}
		return token, nil
	case r.To.Audience != "":
		return "", fmt.Errorf("destination %q: asks for a token for %q, and there is nothing to make one", r.To.URL, r.To.Audience)
	}
	return "", nil
}

// request is the event as an HTTP request.
func (s *Sender) request(ctx context.Context, r Request, token string) (*http.Request, error) {
	u, err := url.Parse(r.To.URL)
	if err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("destination %q: not an absolute http or https URL", r.To.URL)
	}
	header, body, err := encode(r.Event, r.Structured)
	if err != nil {
		return nil, err
	}
	if r.Trace.Parent != "" {
		header.Set(extension.TraceParent, r.Trace.Parent)
		header.Del(extension.TraceState)
		if r.Trace.State != "" {
			header.Set(extension.TraceState, r.Trace.State)
		}
	}
	if r.WantReply {
		header["Prefer"] = []string{"reply"}
	}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	host := u.Host
	// With TLS the URL keeps its host, as the certificate is checked against it; the transport dials elsewhere.
	if s.options.Route != nil && u.Scheme == "http" {
		if dial := s.options.Route(u); dial != "" {
			u.Host = dial
		}
	}
	return (&http.Request{
		Method: http.MethodPost, URL: u, Host: host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}).WithContext(ctx), nil
}

// transport is the one for a set of roots.
func (s *Sender) transport(roots string) (http.RoundTripper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.transports[roots]; ok {
		return t, nil
	}
	t, err := s.options.Transport(roots)
	if err != nil {
		return nil, err
	}
	s.transports[roots] = t
	return t, nil
}

// pooling is a transport that keeps connections. Their number per host has no bound of its own: one slow subscriber behind a gateway would
// use it up for all others, and each reader's concurrency bounds its own share.
func (s *Sender) pooling(roots string) (http.RoundTripper, error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     60 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if roots != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM([]byte(roots)) {
			return nil, errors.New("CACerts: no PEM certificate in it")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if route := s.options.Route; route != nil {
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dial := route(&url.URL{Scheme: "https", Host: address}); dial != "" {
				address = dial
			}
			return dialer.DialContext(ctx, network, address)
		}
	}
	return t, nil
}
