package progress

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

type recorder struct{ events []Event }

func (r *recorder) Event(e Event) { r.events = append(r.events, e) }

func TestAStepThatBeganIsShownToEnd(t *testing.T) {
	r := &recorder{}
	if err := Step(r, "a", "x", func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	if err := Step(r, "b", "", func() error { return boom }); err != boom {
		t.Fatalf("got %v", err)
	}
	var kinds []string
	for _, e := range r.events {
		kinds = append(kinds, e.Step+" "+string(e.Kind))
	}
	if got := strings.Join(kinds, ", "); got != "a began, a done, b began, b failed" || r.events[3].Text != "boom" {
		t.Errorf("%s", got)
	}
}

func TestEventsPassThroughAPipeUntilReady(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		p := NewPipe(w)
		p.Event(Event{Kind: Done, Step: "a", Took: time.Second})
		p.Event(Event{Kind: Ready, Text: "ready"})
		p.Event(Event{Kind: Note, Text: "after"})
	}()
	shown := &recorder{}
	ready, failure := Replay(r, shown)
	if !ready || failure != "" || len(shown.events) != 2 || shown.events[0].Took != time.Second {
		t.Errorf("%v %q %+v", ready, failure, shown.events)
	}
}

func TestADeadSenderIsAFailureWithItsReason(t *testing.T) {
	ready, failure := Replay(strings.NewReader(`{"kind":"failed","step":"a","text":"port in use"}`+"\nnoise\n"), &recorder{})
	if ready || failure != "port in use" {
		t.Errorf("%v %q", ready, failure)
	}
}

func TestPlainLinesHoldWhatIsDone(t *testing.T) {
	var out bytes.Buffer
	p := &plain{out: &out}
	p.Event(Event{Kind: Began, Step: "kubernetes 1.36"})
	p.Event(Event{Kind: Done, Step: "kubernetes 1.36", Took: 3400 * time.Millisecond})
	p.Event(Event{Kind: Failed, Step: "node", Text: "no runc"})
	want := "✓ kubernetes 1.36            3.4 s\n✗ node                       0.0 s  no runc\n"
	if out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestTheLiveLineFitsTheTerminal(t *testing.T) {
	var out bytes.Buffer
	l := &live{out: &out, width: func() int { return 20 }, drawing: true}
	l.Event(Event{Kind: Began, Step: "kubernetes 1.36", Text: "the API server to be ready"})
	last := out.String()[strings.LastIndex(out.String(), "\x1b[K")+3:]
	if n := len([]rune(last)); n > 19 || !strings.HasSuffix(last, "…") {
		t.Errorf("%d: %q", n, last)
	}
	l.Event(Event{Kind: Done, Step: "kubernetes 1.36"})
	if !strings.HasSuffix(out.String(), " s\n") {
		t.Errorf("live line is left: %q", out.String())
	}
}
