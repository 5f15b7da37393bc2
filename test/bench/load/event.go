package load

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Event says what the events of one run have in common. Their ids differ, and say when each was sent.
type Event struct {
	Type   string `json:"type"`
	Source string `json:"source"`
	// Run begins each id: no other run that the same Broker hears of may have it. It has no dot.
	Run string `json:"run"`
	// Bytes is the size of the data.
	Bytes int `json:"bytes"`
	// Prefer is a header of that name, if it is not empty.
	Prefer string `json:"prefer,omitempty"`
}

// AppendID appends the id of the nth event of a run, sent at a time.
func (e Event) AppendID(buffer []byte, n uint64, sent time.Time) []byte {
	buffer = append(buffer, e.Run...)
	buffer = append(buffer, '.')
	buffer = strconv.AppendUint(buffer, n, 10)
	buffer = append(buffer, '.')
	return strconv.AppendInt(buffer, sent.UnixNano(), 10)
}

// ParseID is the run that an event's id is of, and when it was sent.
func ParseID(id string) (run string, sent time.Time, err error) {
	parts := strings.Split(id, ".")
	if len(parts) != 3 {
		return "", sent, fmt.Errorf("%q is no id of a run's event", id)
	}
	nanoseconds, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return "", sent, fmt.Errorf("%q says no time: %w", id, err)
	}
	return parts[0], time.Unix(0, nanoseconds), nil
}

// requests makes requests, for all connections: each call appends the next one to a buffer.
func (c Config) requests() func(buffer []byte) []byte {
	if c.Event == nil {
		request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: ebb-bench\r\n\r\n", c.Path, c.Host)
		return func(buffer []byte) []byte { return append(buffer, request...) }
	}
	e := *c.Event
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: ebb-bench\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n", c.Path, c.Host, e.Bytes)
	if e.Prefer != "" {
		head = fmt.Appendf(head, "Prefer: %s\r\n", e.Prefer)
	}
	head = fmt.Appendf(head, "Ce-Specversion: 1.0\r\nCe-Type: %s\r\nCe-Source: %s\r\nCe-Id: ", e.Type, e.Source)
	data := append([]byte("\r\n\r\n"), bytes.Repeat([]byte("x"), e.Bytes)...)
	var n atomic.Uint64
	return func(buffer []byte) []byte {
		buffer = append(buffer, head...)
		buffer = e.AppendID(buffer, n.Add(1), time.Now())
		return append(buffer, data...)
	}
}

// answer is how a good answer begins.
func (c Config) answer() []byte {
	if c.Event == nil {
		return statusOK
	}
	return statusAccepted
}
