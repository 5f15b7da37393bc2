package jetstream

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/log/logtest"
)

// clock is time that tests turn.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Microsecond)
	return c.at
}

func (c *clock) sleep(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func openTest(t testing.TB, o Options) *Log {
	t.Helper()
	if o.Dir == "" && o.URL == "" {
		o.Dir = t.TempDir()
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Sweep == 0 {
		o.Sweep = time.Hour
	}
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func opened(t *testing.T, o Options, c *clock) logtest.Opened {
	l := openTest(t, o)
	return logtest.Opened{
		Log:    l,
		Retain: func() { l.Retain(t.Context()) },
		Sleep:  c.sleep,
		Reopen: func(t *testing.T) logtest.Opened {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return opened(t, o, c)
		},
	}
}

func TestEmbeddedLogKeepsThePromises(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Opened {
		c := &clock{at: time.Now()}
		return opened(t, Options{Dir: t.TempDir(), Now: c.now, Relaxed: true}, c)
	})
}
