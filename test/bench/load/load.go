package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"ebb.dev/ebb/test/bench/stats"
)

// Config of one run.
type Config struct {
	// Address is dialled, host:port; Host and Path make the request.
	Address string `json:"address"`
	Host    string `json:"host"`
	Path    string `json:"path"`
	// Connections are kept open, each with one request at a time.
	Connections int `json:"connections"`
	// Rate is requests per second over all connections; 0 asks again as soon as it is answered.
	Rate float64 `json:"rate"`
	// Warmup is not counted, Duration is.
	Warmup   time.Duration `json:"warmup"`
	Duration time.Duration `json:"duration"`
}

// Result of one run.
type Result struct {
	Latency stats.Histogram `json:"latency"`
	// Requests were answered with 200 within the counted time; Errors were not.
	Requests uint64 `json:"requests"`
	Errors   uint64 `json:"errors"`
	// FirstError says what the first error was.
	FirstError string `json:"firstError,omitempty"`
	// All were answered at all, those of the warm-up too.
	All uint64 `json:"all"`
	// Seconds is how long was counted.
	Seconds float64 `json:"seconds"`
}

// PerSecond is how many requests were answered in a second.
func (r Result) PerSecond() float64 { return float64(r.Requests) / r.Seconds }

// Run sends until the time is over or the context ends.
func Run(ctx context.Context, c Config) (Result, error) {
	if c.Connections < 1 {
		return Result{}, fmt.Errorf("load: %d connections: need at least one", c.Connections)
	}
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: ebb-bench\r\n\r\n", c.Path, c.Host)
	begin := time.Now()
	counted, end := begin.Add(c.Warmup), begin.Add(c.Warmup+c.Duration)
	results := make([]Result, c.Connections)
	var group sync.WaitGroup
	for i := range c.Connections {
		group.Go(func() {
			w := worker{config: c, request: request, counted: counted, end: end, result: &results[i]}
			if c.Rate > 0 {
				w.interval = time.Duration(float64(time.Second) * float64(c.Connections) / c.Rate)
				w.next = begin.Add(w.interval * time.Duration(i) / time.Duration(c.Connections))
			}
			w.run(ctx)
		})
	}
	group.Wait()
	out := Result{Seconds: c.Duration.Seconds()}
	for _, r := range results {
		out.Latency.Merge(r.Latency)
		out.Requests += r.Requests
		out.Errors += r.Errors
		out.All += r.All
		if out.FirstError == "" {
			out.FirstError = r.FirstError
		}
	}
	return out, ctx.Err()
}

// worker is one connection.
type worker struct {
	config       Config
	request      []byte
	counted, end time.Time
	// interval is between two requests of an open loop and next the time of the next; zero in a closed one.
	interval time.Duration
	next     time.Time
	result   *Result

	conn   net.Conn
	reader *bufio.Reader
}

func (w *worker) run(ctx context.Context) {
	defer func() {
		if w.conn != nil {
			w.conn.Close()
		}
	}()
	for ctx.Err() == nil {
		start := time.Now()
		if w.interval > 0 {
			if wait := w.next.Sub(start); wait > 0 {
				time.Sleep(wait)
			}
			start = w.next
			w.next = w.next.Add(w.interval)
		}
		if !start.Before(w.end) {
			return
		}
		err := w.ask()
		done := time.Now()
		switch {
		case err != nil && w.conn != nil:
			w.conn.Close()
			w.conn = nil
			fallthrough
		case err != nil:
			w.result.Errors++
			if w.result.FirstError == "" {
				w.result.FirstError = err.Error()
			}
		default:
			w.result.All++
			if !start.Before(w.counted) {
				w.result.Requests++
				w.result.Latency.Add(done.Sub(start))
			}
		}
	}
}

// answerTimeout is beyond any answer that a benchmark waits for.
const answerTimeout = 30 * time.Second

func (w *worker) ask() error {
	if w.conn == nil {
		conn, err := net.DialTimeout("tcp", w.config.Address, answerTimeout)
		if err != nil {
			return err
		}
		w.conn, w.reader = conn, bufio.NewReader(conn)
	}
	if err := w.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	if _, err := w.conn.Write(w.request); err != nil {
		return err
	}
	return readAnswer(w.reader)
}

var (
	lengthHeader    = []byte("content-length:")
	chunkedHeader   = []byte("transfer-encoding:")
	statusOK        = []byte("HTTP/1.1 200")
	errUnmeasurable = errors.New("an answer without Content-Length cannot be measured")
)

// readAnswer reads one answer of status 200 whose length is given: as little work as can be, for the generator shares the
// processors with what it measures.
func readAnswer(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, statusOK) {
		return fmt.Errorf("answered %q", bytes.TrimSpace(line))
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if hasPrefixFold(line, chunkedHeader) {
			return errUnmeasurable
		}
		if hasPrefixFold(line, lengthHeader) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(lengthHeader):]))); err != nil {
				return fmt.Errorf("length: %w", err)
			}
		}
	}
	if length < 0 {
		return errUnmeasurable
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return err
}

func hasPrefixFold(line, prefix []byte) bool {
	return len(line) >= len(prefix) && bytes.EqualFold(line[:len(prefix)], prefix)
}
