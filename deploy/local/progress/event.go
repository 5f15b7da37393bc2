package progress

import (
	"bufio"
	"encoding/json"
	"io"
	"sync"
	"time"
)

// Kind says what an event tells.
type Kind string

// The kinds of events.
const (
	Began  Kind = "began"
	Done   Kind = "done"
	Failed Kind = "failed"
	Note   Kind = "note"
	Ready  Kind = "ready"
)

// Event is one thing to show.
type Event struct {
	Kind Kind `json:"kind"`
	// Step is the name of what began or ended.
	Step string `json:"step,omitempty"`
	// Text is more about it: what a running step waits for, why one failed, a whole line for Note and Ready.
	Text string `json:"text,omitempty"`
	// Took is how long a finished step took.
	Took time.Duration `json:"took,omitempty"`
}

// Sink takes events, from several goroutines.
type Sink interface{ Event(Event) }

// Step runs f as a step: shown when it begins, and when it ends with the time it took. detail may extend the name at the end.
func Step(sink Sink, name, waitsFor string, f func() error) error {
	start := time.Now()
	sink.Event(Event{Kind: Began, Step: name, Text: waitsFor})
	err := f()
	if err != nil {
		sink.Event(Event{Kind: Failed, Step: name, Text: err.Error(), Took: time.Since(start)})
		return err
	}
	sink.Event(Event{Kind: Done, Step: name, Took: time.Since(start)})
	return nil
}

// Discard shows nothing.
type Discard struct{}

// Event drops e.
func (Discard) Event(Event) {}

// Pipe writes events as JSON lines.
type Pipe struct {
	mu  sync.Mutex
	enc *json.Encoder
}

// NewPipe writes to w. Errors are ignored: whoever watched has gone, the work goes on.
func NewPipe(w io.Writer) *Pipe { return &Pipe{enc: json.NewEncoder(w)} }

// Event writes e.
func (p *Pipe) Event(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enc.Encode(e) //nolint:errcheck // see NewPipe
}

// Replay hands the events of a Pipe to sink until Ready or the end of r. It returns the Ready event, if one came, and the text of the last
// failure.
func Replay(r io.Reader, sink Sink) (ready bool, failure string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		sink.Event(e)
		switch e.Kind {
		case Ready:
			return true, ""
		case Failed:
			failure = e.Text
		}
	}
	return false, failure
}
