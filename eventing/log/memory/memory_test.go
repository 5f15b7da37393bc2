package memory

import (
	"sync"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/log/logtest"
)

func TestMemoryKeepsThePromises(t *testing.T) {
	logtest.Run(t, func(*testing.T) logtest.Opened {
		var mu sync.Mutex
		at := time.Now()
		turn := func(d time.Duration) time.Time {
			mu.Lock()
			defer mu.Unlock()
			at = at.Add(d)
			return at
		}
		return logtest.Opened{
			Log:   &Log{Now: func() time.Time { return turn(time.Microsecond) }},
			Sleep: func(d time.Duration) { turn(d) },
		}
	})
}
