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
	// Event makes each request carry an event of its own, answered with 202; without it requests are GETs, answered with 200.
	Event *Event `json:"event,omitempty"`
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
	// Requests were answered as they should be within the counted time; Errors were not.
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
	next := c.requests()
	begin := time.Now()
	counted, end := begin.Add(c.Warmup), begin.Add(c.Warmup+c.Duration)
	results := make([]Result, c.Connections)
	var group sync.WaitGroup
	for i := range c.Connections {
		group.Go(func() {
			w := worker{config: c, request: next, want: c.answer(), counted: counted, end: end, result: &results[i]}
			if c.Rate > 0 {
				w.interval = time.Duration(float64(time.Second) * float64(c.Connections) / c.Rate)
				w.next = begin.Add(w.interval * time.Duration(i) / time.Duration(c.Connections))
			}
			w.run(ctx)
		})
	}
	group.Wait()
	return Sum(results, c.Duration), ctx.Err()
}

// Sum adds up the results of the connections of one run, of which a time was counted.
func Sum(results []Result, counted time.Duration) Result {
	out := Result{Seconds: counted.Seconds()}
	for _, r := range results {
		out.Latency.Merge(r.Latency)
		out.Requests += r.Requests
		out.Errors += r.Errors
		out.All += r.All
		if out.FirstError == "" {
			out.FirstError = r.FirstError
		}
	}
	return out
}

// Add notes an answer; it counts if it was asked for when counting had begun.
func (r *Result) Add(start, done, counted time.Time) {
	r.All++
	if !start.Before(counted) {
		r.Requests++
		r.Latency.Add(done.Sub(start))
	}
}

// Fail notes a request that was not answered as it should be.
func (r *Result) Fail(err error) {
	r.Errors++
	if r.FirstError == "" {
		r.FirstError = err.Error()
	}
}

// worker is one connection.
type worker struct {
	config Config
	// request makes the next one in a buffer; want begins the answer it should get.
	request      func(buffer []byte) []byte
	want         []byte
	counted, end time.Time
	// interval is between two requests of an open loop and next the time of the next; zero in a closed one.
	interval time.Duration
	next     time.Time
	result   *Result

	conn   net.Conn
	reader *bufio.Reader
	buffer []byte
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
		if err == nil {
			w.result.Add(start, done, w.counted)
			continue
		}
		w.result.Fail(err)
		if w.conn != nil {
			w.conn.Close()
			w.conn = nil
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
	w.buffer = w.request(w.buffer[:0])
	if _, err := w.conn.Write(w.buffer); err != nil {
		return err
	}
	return readAnswer(w.reader, w.want)
}

var (
	lengthHeader    = []byte("content-length:")
	chunkedHeader   = []byte("transfer-encoding:")
	statusOK        = []byte("HTTP/1.1 200")
	statusAccepted  = []byte("HTTP/1.1 202")
	errUnmeasurable = errors.New("an answer without Content-Length cannot be measured")
)

// readAnswer reads one answer that begins as wanted and whose length is given: as little work as can be, for the generator shares
// the processors with what it measures.
func readAnswer(r *bufio.Reader, want []byte) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, want) {
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
