package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// answer is what a client got.
type answer struct {
	code   int
	body   string
	header http.Header
	took   time.Duration
}

// loopback dials this machine whatever the name: *.localhost is that by definition, but not every resolver knows.
func loopback(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// fresh opens a connection for each request, so that nothing is silently sent twice.
var fresh = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: loopback, DisableKeepAlives: true}}

// kept keeps its connections.
var kept = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: loopback, MaxIdleConnsPerHost: 1000}}

func do(client *http.Client, request *http.Request) (answer, error) {
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	body, err := readAll(response)
	return answer{response.StatusCode, body, response.Header, time.Since(began)}, err
}

// get is curl.
func get(ctx context.Context, address string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, err
	}
	return do(fresh, request)
}

// expect asks once and wants a part of the body, with 200.
func expect(t *testing.T, address, want string) answer {
	t.Helper()
	got, err := get(t.Context(), address)
	if err != nil || got.code != http.StatusOK || !strings.Contains(got.body, want) {
		t.Fatalf("GET %s: %v, %d %q, want 200 %q", address, err, got.code, got.body, want)
	}
	return got
}

// becomes asks until the answer contains want.
func becomes(t *testing.T, address string, code int, want string) {
	t.Helper()
	eventually(t, 30*time.Second, "GET "+address, func() error {
		got, err := get(t.Context(), address)
		if err != nil {
			return err
		}
		if got.code != code || !strings.Contains(got.body, want) {
			return fmt.Errorf("%d %q, want %d %q", got.code, got.body, code, want)
		}
		return nil
	})
}

// tagged is the address of a tag of a service.
func tagged(address, tag string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // it came from a status
	}
	u.Host = tag + "-" + u.Host
	return u.String()
}

// tally counts the answers of many requests.
type tally struct {
	mu     sync.Mutex
	sent   int
	bodies map[string]int
	// failed are what was not 200, in words, with counts.
	failed map[string]int
	// lastFailure is when the last one was noticed.
	lastFailure time.Time
	slowest     time.Duration
}

func newTally() *tally { return &tally{bodies: map[string]int{}, failed: map[string]int{}} }

func (c *tally) count(got answer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent++
	c.slowest = max(c.slowest, got.took)
	switch {
	case err != nil:
		c.failed[reason(err)]++
		c.lastFailure = time.Now()
	case got.code != http.StatusOK:
		c.failed[fmt.Sprintf("%d %s", got.code, strings.TrimSpace(got.body))]++
		c.lastFailure = time.Now()
	default:
		c.bodies[strings.TrimSpace(got.body)]++
	}
}

// reason is an error without the address that it came from.
func reason(err error) string {
	text := err.Error()
	if at := strings.LastIndex(text, ": "); at >= 0 {
		return text[at+2:]
	}
	return text
}

func (c *tally) failures() int {
	n := 0
	for _, count := range c.failed {
		n += count
	}
	return n
}

// String is for the log of a test.
func (c *tally) String() string {
	return fmt.Sprintf("%d sent, %d failed, slowest %s; %v %v", c.sent, c.failures(), c.slowest.Round(time.Millisecond), c.bodies, c.failed)
}

// many sends n requests, at most at a time at once.
func many(ctx context.Context, client *http.Client, address string, n, at int) *tally {
	c := newTally()
	var group sync.WaitGroup
	places := make(chan struct{}, at)
	for range n {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
			if err != nil {
				c.count(answer{}, err)
				return
			}
			c.count(do(client, request))
		})
	}
	group.Wait()
	return c
}

// load sends requests at a constant rate, whatever becomes of them.
type load struct {
	*tally
	stop func() *tally
}

// startLoad begins; stop waits for the last answers and returns the tally.
func startLoad(t *testing.T, address string, rate int) *load {
	t.Helper()
	c := newTally()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		var group sync.WaitGroup
		defer group.Wait()
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			group.Go(func() { c.count(get(context.WithoutCancel(ctx), address)) })
		}
	}()
	stop := sync.OnceValue(func() *tally {
		cancel()
		<-done
		return c
	})
	t.Cleanup(func() { stop() })
	return &load{c, stop}
}

// answered waits until n more requests were counted.
func (l *load) answered(t *testing.T, n int) {
	t.Helper()
	l.mu.Lock()
	goal := l.sent + n
	l.mu.Unlock()
	eventually(t, time.Minute, fmt.Sprintf("%d more answers", n), func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.sent < goal {
			return fmt.Errorf("%d of %d", l.sent, goal)
		}
		return nil
	})
}

// drip is a body that is sent in pieces.
type drip struct {
	left int
	fill byte
}

func (d *drip) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), d.left)
	for i := range p[:n] {
		p[i] = d.fill
		d.fill = d.fill*31 + 7
	}
	d.left -= n
	return n, nil
}
