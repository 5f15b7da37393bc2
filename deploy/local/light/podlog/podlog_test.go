package podlog

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newLog(t *testing.T, limit int64) *Log {
	t.Helper()
	at := time.Unix(0, 0)
	l, err := Create(filepath.Join(t.TempDir(), "0.log"), limit, func() time.Time { at = at.Add(time.Second); return at })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func read(t *testing.T, l *Log, q Query) string {
	t.Helper()
	var b bytes.Buffer
	if err := Read(context.Background(), l.Path(), nil, q, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLinesComeBackAsTheyWereWritten(t *testing.T) {
	l := newLog(t, DefaultLimit)
	long := strings.Repeat("x", maxLine+10)
	if err := l.Copy("stdout", strings.NewReader("one\ntwo\n"+long+"\nno newline"), nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Copy("stderr", strings.NewReader("oops\n"), nil); err != nil {
		t.Fatal(err)
	}
	if got := read(t, l, Query{Tail: -1}); got != "one\ntwo\n"+long+"\nno newlineoops\n" {
		t.Errorf("all: %.80q", got)
	}
	if got := read(t, l, Query{Tail: 1}); got != "no newlineoops\n" {
		t.Errorf("tail: %q", got)
	}
	if got := read(t, l, Query{Tail: -1, Stream: "Stderr", Timestamps: true}); got != "1970-01-01T00:00:06Z oops\n" {
		t.Errorf("stderr with times: %q", got)
	}
	if got := read(t, l, Query{Tail: -1, Since: time.Unix(6, 0)}); got != "oops\n" {
		t.Errorf("since: %q", got)
	}
	if got := read(t, l, Query{Tail: -1, LimitBytes: 5}); got != "one\nt" {
		t.Errorf("limit: %q", got)
	}
	if got := read(t, l, Query{Tail: 0}); got != "" {
		t.Errorf("no lines: %q", got)
	}
}

func TestALogStaysWithinItsBound(t *testing.T) {
	l := newLog(t, 1000)
	l.Copy("stdout", strings.NewReader(strings.Repeat("0123456789\n", 500)), nil)
	total := int64(0)
	for _, p := range []string{l.Path(), l.Path() + old} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 2000 {
		t.Errorf("%d bytes on disk", total)
	}
	if err := Remove(l.Path()); err != nil {
		t.Error(err)
	}
}

func TestAFollowerSeesEveryLineAcrossRotationsAndEnds(t *testing.T) {
	l := newLog(t, 400)
	r, w := io.Pipe()
	done := make(chan error, 1)
	l.write("stdout", []byte("first\n"))
	go func() {
		done <- Read(context.Background(), l.Path(), l, Query{Tail: -1, Follow: true}, w)
		w.Close()
	}()
	buf := make([]byte, 6)
	if _, err := io.ReadFull(r, buf); err != nil || string(buf) != "first\n" {
		t.Fatal(string(buf), err)
	}
	for i := range 20 {
		want := strings.Repeat(string(rune('a'+i)), 20) + "\n"
		l.write("stdout", []byte(want))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
			t.Fatalf("line %d: %q, %v", i, got, err)
		}
	}
	l.Close()
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Fatalf("rest %q, %v", rest, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
