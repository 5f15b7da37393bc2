package progress

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// New returns the display for w: a live one on a terminal, plain lines otherwise.
func New(w *os.File) Sink {
	if !isTerminal(w) || os.Getenv("TERM") == "dumb" {
		return &plain{out: w}
	}
	return &live{out: w, width: func() int { return width(w) }}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func width(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 80
	}
	return int(size.Col)
}

// line is how a finished step reads.
func line(e Event) string {
	switch e.Kind {
	case Done:
		return fmt.Sprintf("✓ %-24s %5.1f s", e.Step, e.Took.Seconds())
	case Failed:
		return fmt.Sprintf("✗ %-24s %5.1f s  %s", e.Step, e.Took.Seconds(), e.Text)
	default:
		return e.Text
	}
}

// plain writes one line per finished step.
type plain struct {
	mu  sync.Mutex
	out io.Writer
}

func (p *plain) Event(e Event) {
	if e.Kind == Began {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.out, line(e))
}

const (
	frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
	// frameTime is the pause between two pictures of the live line.
	frameTime = 100 * time.Millisecond
)

// live keeps a last line that says what is waited for.
type live struct {
	mu      sync.Mutex
	out     io.Writer
	width   func() int
	running []step
	frame   int
	drawing bool
}

type step struct {
	name, text string
	began      time.Time
}

func (l *live) Event(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
	switch e.Kind {
	case Began:
		l.running = append(l.running, step{e.Step, e.Text, time.Now()})
	case Done, Failed:
		l.running = slices.DeleteFunc(l.running, func(s step) bool { return s.name == e.Step })
		fmt.Fprintln(l.out, line(e))
	default:
		fmt.Fprintln(l.out, line(e))
	}
	l.draw(time.Now())
	if len(l.running) > 0 && !l.drawing {
		l.drawing = true
		go l.animate()
	}
}

// animate redraws the live line while anything runs.
func (l *live) animate() {
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	for now := range tick.C {
		l.mu.Lock()
		if len(l.running) == 0 {
			l.drawing = false
			l.mu.Unlock()
			return
		}
		l.frame++
		l.erase()
		l.draw(now)
		l.mu.Unlock()
	}
}

func (l *live) erase() { fmt.Fprint(l.out, "\r\x1b[K") }

func (l *live) draw(now time.Time) {
	if len(l.running) == 0 {
		return
	}
	var parts []string
	for _, s := range l.running {
		text := s.name
		if s.text != "" {
			text += ": " + s.text
		}
		parts = append(parts, fmt.Sprintf("%s (%.0f s)", text, now.Sub(s.began).Seconds()))
	}
	pictures := []rune(frames)
	text := []rune(string(pictures[l.frame%len(pictures)]) + " " + strings.Join(parts, " · "))
	if limit := l.width() - 1; len(text) > limit && limit > 1 {
		text = append(text[:limit-1], '…')
	}
	fmt.Fprint(l.out, string(text))
}
