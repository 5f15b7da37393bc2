package testbed

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"ebb.dev/ebb/test/bench/load"
)

// Receipt is an event that an app has got.
type Receipt struct {
	ID string
	// Sent is when its sender sent it, At when the app had it: both by this machine's clock.
	Sent, At time.Time
}

// Receipts hears when apps have got events, from the apps themselves.
type Receipts struct {
	mu sync.Mutex
	// first has the first receipt of each event, by run and id.
	first   map[string]map[string]Receipt
	changed chan struct{}
}

func newReceipts() *Receipts {
	return &Receipts{first: map[string]map[string]Receipt{}, changed: make(chan struct{})}
}

func (r *Receipts) receive(conn net.PacketConn) {
	text := make([]byte, 512)
	for {
		n, _, err := conn.ReadFrom(text)
		if err != nil {
			return // it was closed
		}
		// What is not of a run of ours is of no interest.
		if run, receipt, err := parseReceipt(string(text[:n])); err == nil {
			r.add(run, receipt)
		}
	}
}

func parseReceipt(text string) (run string, r Receipt, err error) {
	id, at, ok := strings.Cut(text, " ")
	if !ok {
		return "", r, fmt.Errorf("%q is no receipt", text)
	}
	nanoseconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return "", r, err
	}
	run, sent, err := load.ParseID(id)
	return run, Receipt{ID: id, Sent: sent, At: time.Unix(0, nanoseconds)}, err
}

func (r *Receipts) add(run string, receipt Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first[run] == nil {
		r.first[run] = map[string]Receipt{}
	}
	if _, again := r.first[run][receipt.ID]; !again {
		r.first[run][receipt.ID] = receipt
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// Of returns the first receipts of n different events of a run, once there are so many. They are forgotten then.
func (r *Receipts) Of(ctx context.Context, run string, n int) ([]Receipt, error) {
	for {
		r.mu.Lock()
		have, changed := r.first[run], r.changed
		if len(have) >= n {
			delete(r.first, run)
			out := make([]Receipt, 0, len(have))
			for _, receipt := range have {
				out = append(out, receipt)
			}
			r.mu.Unlock()
			return out, nil
		}
		got := len(have)
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d events of %s were received: %w", got, n, run, context.Cause(ctx))
		}
	}
}
