package controlplane

import (
	"context"
	"runtime"
	godebug "runtime/debug"
	"runtime/metrics"
	"time"
)

// A collection takes some 15 ms of processor time, more with many services, and left alone it comes when much is allocated: while somebody waits
// for a service to wake. So it is done ahead, when nothing happens, and while something does there may be more garbage first.
const (
	// garbageLook is the pause between two looks, calmLooks how many in a row must have seen little allocated.
	garbageLook = 50 * time.Millisecond
	calmLooks   = 3
	// calmBytes allocated between two looks are what feeds and watches need.
	calmBytes = 128 << 10
	// worthBytes of garbage make a collection worth its while, or half of what may come together at rest.
	worthBytes = 4 << 20
	// busyBytes of garbage may come together while something happens; where the heap is larger, the share that it has at rest.
	busyBytes = 32 << 20
)

// garbage decides when there is a collection ahead, and how much there may be without one, in percent of what lives, as GOGC.
type garbage struct {
	// rest is the percentage at rest; negative is no collection at all.
	rest int
	// allocated and cycles are those of the last look, collected what had been allocated at the first look after the last collection.
	allocated, cycles, collected uint64
	// calm is how many looks in a row have seen little allocated.
	calm int
}

// look takes the bytes allocated and the collections made so far, and the bytes that the last one left, and says what is to be done.
func (g *garbage) look(allocated, cycles, live uint64) (collect bool, percent int) {
	if cycles != g.cycles {
		g.cycles, g.collected = cycles, allocated
	}
	if allocated-g.allocated < calmBytes {
		g.calm++
	} else {
		g.calm = 0
	}
	g.allocated = allocated
	if g.rest < 0 || live == 0 {
		return false, g.rest
	}
	if g.calm < calmLooks {
		return false, max(g.rest, int(busyBytes*100/live))
	}
	return allocated-g.collected >= max(worthBytes, live*uint64(g.rest)/200), g.rest
}

// collectAhead paces the collector until the context ends.
func collectAhead(ctx context.Context) {
	g := garbage{rest: godebug.SetGCPercent(100)}
	godebug.SetGCPercent(g.rest)
	have := g.rest
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(garbageLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		collect, percent := g.look(samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64())
		if percent != have {
			have = percent
			godebug.SetGCPercent(percent)
		}
		if collect {
			runtime.GC()
		}
	}
}
