package jetstream

import (
	"context"
	"errors"
	"time"

	"ebb.dev/ebb/eventing/log"
)

// sweep looks through the streams from time to time.
func (l *Log) sweep() {
	defer close(l.swept)
	ticker := time.NewTicker(l.options.Sweep)
	defer ticker.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-ticker.C:
			l.retain(l.ctx)
		}
	}
}

// Retain drops from every stream what its limits say and everybody has read. It is done from time to time anyway.
func (l *Log) Retain(ctx context.Context) {
	if end, err := l.begin(); err == nil {
		defer end()
		l.retain(ctx)
	}
}

func (l *Log) retain(ctx context.Context) {
	for _, s := range l.all() {
		if ctx.Err() != nil {
			return
		}
		err := s.retain(ctx)
		if err != nil && !errors.Is(err, log.ErrUnknown) && ctx.Err() == nil {
			l.metrics.failed.Inc()
			l.options.Logger.Warn("event log: what is not needed any more stays for now", "stream", s.id, "err", err)
		}
	}
}

func (l *Log) all() []*stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*stream, 0, len(l.streams))
	for _, s := range l.streams {
		out = append(out, s)
	}
	return out
}

func (l *Log) notify(n Notice) {
	if l.options.Notify != nil {
		l.options.Notify(n)
	}
}

// bounds are where the stream begins and stands.
func (s *stream) bounds() (tail, head head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tail, s.head
}
