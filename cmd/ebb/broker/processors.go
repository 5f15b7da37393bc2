package broker

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// An event passes from one goroutine to the next: connection, log, log's connection, reader. With a second processor Go wakes that one at each step, for
// work that is done before it is awake, and takes it from the Envoy in front. So Go has one processor while one is enough.
const (
	// lookEvery is how often the process looks at what it uses.
	lookEvery = 200 * time.Millisecond
	// growAbove is the share of its processors at which it takes twice as many.
	growAbove = 0.85
	// shrinkBelow is the share of half of its processors below which it gives the other half back, after shrinkAfter looks.
	shrinkBelow = 0.6
	shrinkAfter = 10
)

// Environment is what the process is to be started with. Go's monitor thread sleeps whenever nothing else runs, and is woken for each event and looks about
// every 20 µs until the event is done: half of all changes of threads. Who asks for traces of the scheduler has it look on its own, ever more
// seldom down to 100 times a second, and the traces are every 24 days. Go reads this before main, and takes it from nowhere else.
var Environment = []string{"GODEBUG=schedtrace=2147483647"}

// processors decides how many processors Go has.
type processors struct {
	have, most int
	// calm is how many looks in a row half would have been enough.
	calm int
}

// next is how many it has from now on, having used so many in the time since the last look.
func (p *processors) next(used float64) int {
	half := max(1, p.have/2)
	switch {
	case used > growAbove*float64(p.have):
		p.have, p.calm = min(2*p.have, p.most), 0
	case used >= shrinkBelow*float64(half):
		p.calm = 0
	default:
		if p.calm++; p.calm >= shrinkAfter {
			p.have, p.calm = half, 0
		}
	}
	return p.have
}

// fit gives Go the processors that it has use for, of those it began with, and the memory for garbage, until the context ends.
func fit(ctx context.Context) {
	p := &processors{most: runtime.GOMAXPROCS(0)}
	p.have = p.most
	g := newGarbage()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	before, at := processorTime(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		total, now := processorTime(), time.Now()
		used := (total - before).Seconds() / now.Sub(at).Seconds()
		have := p.have
		if n := p.next(used); n != have {
			runtime.GOMAXPROCS(n)
		}
		g.fit(used)
		before, at = total, now
	}
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0 // this process is always there
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
