// Package podlog writes and reads container logs in the format of the container runtime interface: time, stream, F or P, line.
//
// In: a program's output. Out: files of bounded size, and their lines again for kubectl logs.
//
// Hard rule: a log never grows past two files of the limit; what a reader asks for that is gone is simply not there.
package podlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// DefaultLimit is the size at which a log is turned over, in bytes; one older file is kept.
	DefaultLimit = 10 << 20
	maxLine      = 16 << 10 // longer lines are written in parts, as runtimes do
	old          = ".1"
)

// Log is the log of one run of a container.
type Log struct {
	path  string
	limit int64
	now   func() time.Time

	mu      sync.Mutex
	file    *os.File
	size    int64
	changed chan struct{} // closed and replaced at every write; followers wait on it
	closed  bool
}

// Create begins a log at path.
func Create(path string, limit int64, now func() time.Time) (*Log, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	return &Log{path: path, limit: limit, now: now, file: f, changed: make(chan struct{})}, nil
}

// Path is where the log lies.
func (l *Log) Path() string { return l.path }

// Copy writes everything that comes from r until its end. stream is stdout or stderr. tee, if not nil, sees the raw bytes.
func (l *Log) Copy(stream string, r io.Reader, tee func([]byte)) error {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			if tee != nil {
				tee(line)
			}
			if werr := l.write(stream, line); werr != nil {
				_, _ = io.Copy(io.Discard, in) // a full disk must not stop the program
				return werr
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
				return nil
			}
			return err
		}
	}
}

func (l *Log) write(stream string, line []byte) error {
	tag := " P "
	if line[len(line)-1] == '\n' {
		tag, line = " F ", line[:len(line)-1]
	}
	b := make([]byte, 0, len(line)+64)
	b = l.now().UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(append(append(append(b, ' '), stream...), tag...), line...)
	b = append(b, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return os.ErrClosed
	}
	if l.size > 0 && l.size+int64(len(b)) > l.limit {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(b)
	l.size += int64(n)
	close(l.changed)
	l.changed = make(chan struct{})
	return err
}

func (l *Log) rotate() error {
	if err := os.Rename(l.path, l.path+old); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	l.file.Close()
	l.file, l.size = f, 0
	return nil
}

// Close ends the log; followers get the rest and end.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	l.file.Close()
	close(l.changed)
}

func (l *Log) state() (changed <-chan struct{}, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed, l.closed
}

// Remove deletes the files of a log.
func Remove(path string) error {
	err := errors.Join(os.Remove(path), os.Remove(path+old))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Query is what kubectl logs may ask.
type Query struct {
	Tail       int64 // last lines; -1 is all
	Since      time.Time
	LimitBytes int64 // 0 is no limit
	Timestamps bool
	Follow     bool
	Stream     string // Stdout, Stderr or empty for both
}

// Read writes the lines that the query asks for. live is the log itself while its container runs, for following; nil reads what is there and ends.
func Read(ctx context.Context, path string, live *Log, q Query, w io.Writer) error {
	out := &limited{w: w, left: q.LimitBytes, limited: q.LimitBytes > 0}
	var changed <-chan struct{}
	closed := true
	if live != nil {
		changed, closed = live.state() // before reading, so that nothing written meanwhile is missed
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	lines, rest, err := collect(path, f, q)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if err := emit(out, line, q); err != nil {
			return ignoreLimit(err)
		}
	}
	for q.Follow && live != nil {
		if closed && changed == nil {
			return nil
		}
		if !closed {
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
		}
		changed, closed = live.state()
		if closed {
			changed = nil
		}
		if f, rest, err = follow(out, path, f, rest, q); err != nil {
			return ignoreLimit(err)
		}
	}
	return nil
}

// follow writes what was added to f and moves on to the next file when it was turned over.
func follow(out io.Writer, path string, f *os.File, rest []byte, q Query) (*os.File, []byte, error) {
	for {
		added, err := io.ReadAll(f)
		if err != nil {
			return f, rest, err
		}
		rest = append(rest, added...)
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			if err := emit(out, rest[:i+1], q); err != nil {
				return f, rest, err
			}
			rest = rest[i+1:]
		}
		next, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return f, rest, nil // being turned over; the write that does it will tell
		}
		if err != nil {
			return f, rest, err
		}
		a, aerr := f.Stat()
		b, berr := next.Stat()
		if aerr != nil || berr != nil || os.SameFile(a, b) {
			next.Close()
			return f, rest, errors.Join(aerr, berr)
		}
		f.Close()
		f, rest = next, nil
	}
}

// collect reads the whole lines that are there, the older file first, and cuts them to the tail.
func collect(path string, f *os.File, q Query) (lines [][]byte, rest []byte, err error) {
	before, err := os.ReadFile(path + old)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	now, err := io.ReadAll(f)
	if err != nil {
		return nil, nil, err
	}
	for line := range bytes.Lines(append(before, now...)) {
		if line[len(line)-1] != '\n' {
			rest = bytes.Clone(line)
			break
		}
		if _, _, _, ok := parse(line, q); ok {
			lines = append(lines, line)
		}
	}
	if q.Tail >= 0 {
		lines = lastLines(lines, q)
	}
	return lines, rest, nil
}

// lastLines keeps the last q.Tail whole lines; the parts of a long line count as one.
func lastLines(lines [][]byte, q Query) [][]byte {
	count := int64(0)
	for i := len(lines) - 1; i >= 0; i-- {
		if _, _, full, _ := parse(lines[i], q); full {
			if count == q.Tail {
				return lines[i+1:]
			}
			count++
		}
	}
	return lines
}

// parse takes a log line apart; ok is false for a line that the query leaves out.
func parse(line []byte, q Query) (stamp, text []byte, full, ok bool) {
	stamp, rest, found := bytes.Cut(line, []byte(" "))
	stream, rest, found2 := bytes.Cut(rest, []byte(" "))
	tag, text, found3 := bytes.Cut(rest, []byte(" "))
	if !found || !found2 || !found3 {
		return nil, nil, false, false
	}
	if q.Stream != "" && !bytes.EqualFold(stream, []byte(q.Stream)) {
		return nil, nil, false, false
	}
	if !q.Since.IsZero() {
		at, err := time.Parse(time.RFC3339Nano, string(stamp))
		if err != nil || at.Before(q.Since) {
			return nil, nil, false, false
		}
	}
	return stamp, text, tag[0] == 'F', true
}

func emit(w io.Writer, line []byte, q Query) error {
	stamp, text, full, ok := parse(line, q)
	if !ok {
		return nil
	}
	if !full {
		text = text[:len(text)-1]
	}
	if q.Timestamps {
		text = append(append(bytes.Clone(stamp), ' '), text...)
	}
	_, err := w.Write(text)
	return err
}

var errLimit = errors.New("limit reached")

func ignoreLimit(err error) error {
	if errors.Is(err, errLimit) {
		return nil
	}
	return err
}

type limited struct {
	w       io.Writer
	left    int64
	limited bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.limited && int64(len(p)) > l.left {
		n, _ := l.w.Write(p[:l.left])
		l.left = 0
		return n, errLimit
	}
	l.left -= int64(len(p))
	return l.w.Write(p)
}
