// Command hey sends load to a URL and prints a summary, with the flags and the output of the load generator of that name.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// load is what to send.
type load struct {
	url, method, body, contentType string
	headers                        headerFlag
	requests, workers              int
	rate                           float64 // requests a second of each worker; 0 is no limit
	duration                       time.Duration
	timeout                        time.Duration
}

type headerFlag []string

func (h *headerFlag) String() string     { return strings.Join(*h, ", ") }
func (h *headerFlag) Set(v string) error { *h = append(*h, v); return nil }

// result is one request's outcome.
type result struct {
	took   time.Duration
	status int
	bytes  int64
	err    error
}

func main() {
	l, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	results := l.run(ctx)
	if err := summarize(os.Stdout, results, time.Since(began)); err != nil {
		os.Exit(1)
	}
}

func parse(args []string, errs io.Writer) (*load, error) {
	l := &load{}
	f := flag.NewFlagSet("hey", flag.ContinueOnError)
	f.SetOutput(errs)
	f.DurationVar(&l.duration, "z", 0, "how long to send; overrides -n")
	f.IntVar(&l.requests, "n", 200, "number of requests")
	f.IntVar(&l.workers, "c", 50, "number of workers at once")
	f.Float64Var(&l.rate, "q", 0, "requests a second of each worker")
	f.StringVar(&l.method, "m", http.MethodGet, "HTTP method")
	f.StringVar(&l.body, "d", "", "request body")
	f.StringVar(&l.contentType, "T", "text/html", "Content-Type")
	f.Var(&l.headers, "H", "header, name: value; may be repeated")
	seconds := f.Int("t", 20, "timeout of a request in seconds; 0 is none")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	l.timeout = time.Duration(*seconds) * time.Second
	if f.NArg() != 1 {
		return nil, fmt.Errorf("usage: hey [flags] URL")
	}
	if l.url = f.Arg(0); l.workers < 1 || l.duration == 0 && l.requests < l.workers {
		return nil, fmt.Errorf("-n cannot be less than -c, and -c not less than 1")
	}
	return l, nil
}

// run sends until the time is up or the number is reached.
func (l *load) run(ctx context.Context) []result {
	if l.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.duration)
		defer cancel()
	}
	client := &http.Client{Timeout: l.timeout, Transport: &http.Transport{MaxIdleConnsPerHost: l.workers, Proxy: http.ProxyFromEnvironment}}
	var wg sync.WaitGroup
	each := make([][]result, l.workers)
	for w := range each {
		wg.Go(func() { each[w] = l.work(ctx, client, l.share(w)) })
	}
	wg.Wait()
	var all []result
	for _, r := range each {
		all = append(all, r...)
	}
	return all
}

// share is how many requests a worker sends; -1 is until the time is up.
func (l *load) share(worker int) int {
	if l.duration > 0 {
		return -1
	}
	n := l.requests / l.workers
	if worker < l.requests%l.workers {
		n++
	}
	return n
}

func (l *load) work(ctx context.Context, client *http.Client, count int) []result {
	var tick <-chan time.Time
	if l.rate > 0 {
		t := time.NewTicker(time.Duration(float64(time.Second) / l.rate))
		defer t.Stop()
		tick = t.C
	}
	var results []result
	for i := 0; i != count; i++ {
		if tick != nil {
			select {
			case <-tick:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		r := l.once(ctx, client)
		if ctx.Err() != nil && r.err != nil {
			break // cut by the end of the test, not by the server
		}
		results = append(results, r)
	}
	return results
}

func (l *load) once(ctx context.Context, client *http.Client) result {
	began := time.Now()
	r, err := http.NewRequestWithContext(ctx, l.method, l.url, strings.NewReader(l.body))
	if err != nil {
		return result{err: err}
	}
	r.Header.Set("Content-Type", l.contentType)
	r.Header.Set("User-Agent", "hey/0.0.1")
	for _, h := range l.headers {
		name, value, _ := strings.Cut(h, ":")
		r.Header.Set(name, strings.TrimSpace(value))
		if strings.EqualFold(name, "host") {
			r.Host = strings.TrimSpace(value)
		}
	}
	resp, err := client.Do(r)
	if err != nil {
		return result{err: err}
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	return result{took: time.Since(began), status: resp.StatusCode, bytes: n, err: err}
}
