package call

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/eventing/async/journal"
	"ebb.dev/ebb/eventing/async/request"
)

// dialTimeout bounds how long a connection may take.
const dialTimeout = 10 * time.Second

// Caller makes attempts.
type Caller struct {
	transport http.RoundTripper
}

// NewCaller makes a Caller whose requests all go to the gateway, HOST:PORT; an empty one sends them to the hosts themselves.
func NewCaller(gateway string) *Caller {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	return &Caller{transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if gateway != "" {
				address = gateway
			}
			return dialer.DialContext(ctx, network, address)
		},
		// Every Service is behind the one gateway: one that is slow is not to use up what the others need.
		MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}
}

// Attempt carries a request to its Service and returns the answer; a body of more than the record's bytes is left out, and Error says so.
func (c *Caller) Attempt(ctx context.Context, r request.Record, m journal.Message) (request.Answer, journal.Message) {
	if r.Terms.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.Terms.Timeout, fmt.Errorf("no answer within %s", r.Terms.Timeout))
		defer cancel()
	}
	answer, kept, err := c.exchange(ctx, r, m)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return request.Answer{Error: err.Error()}, journal.Message{}
	}
	return answer, kept
}

func (c *Caller) exchange(ctx context.Context, r request.Record, m journal.Message) (request.Answer, journal.Message, error) {
	out, err := outgoing(ctx, r, m)
	if err != nil {
		return request.Answer{}, journal.Message{}, err
	}
	response, err := c.transport.RoundTrip(out)
	if err != nil {
		return request.Answer{}, journal.Message{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, r.Terms.Bytes+1))
	if err != nil {
		return request.Answer{}, journal.Message{}, fmt.Errorf("the answer ends early: %w", err)
	}
	answer := request.Answer{Status: response.StatusCode, RetryAfter: response.Header.Get("Retry-After")}
	if int64(len(body)) > r.Terms.Bytes {
		answer.Error = fmt.Sprintf("the answer has more than %d bytes and is not kept; %s allows more", r.Terms.Bytes, async.MaxBytesKey)
		return answer, journal.Message{}, nil
	}
	answer.Kept = true
	return answer, journal.Message{Header: Kept(response.Header), Body: body}, nil
}

// outgoing is an attempt as an HTTP request.
func outgoing(ctx context.Context, r request.Record, m journal.Message) (*http.Request, error) {
	u, err := url.ParseRequestURI(r.Target)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", r.Target, err)
	}
	u.Scheme, u.Host = "http", m.Host
	header := m.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set(async.IDHeader, r.ID)
	header.Set(async.AttemptHeader, strconv.Itoa(r.Attempts))
	// Where all is answered later by itself, this one is not.
	header.Add(async.PreferHeader, string(async.RespondSync))
	if _, named := header["User-Agent"]; !named {
		header["User-Agent"] = nil
	}
	out := (&http.Request{
		Method: r.Method, URL: u, Host: m.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(m.Body)),
	}).WithContext(ctx)
	if len(m.Body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(m.Body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.Body)), nil }
	}
	return out, nil
}

// Target is a request's path and query as they came, if they can be sent again.
func Target(r *http.Request) (string, error) {
	target := r.URL.RequestURI()
	if !strings.HasPrefix(target, "/") {
		return "", errors.New("the request names no path")
	}
	return target, nil
}
