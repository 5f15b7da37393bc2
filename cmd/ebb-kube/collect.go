package main

import (
	"context"
	"runtime"
	"runtime/metrics"
	"time"
)

// A collection of this heap takes some 150 ms of processor time, and left alone it comes when much is allocated: in the midst of a burst of
// pods that somebody waits for. So it is done ahead, while nothing happens.
const (
	// quietLook is the pause between two looks, quietLooks how many in a row must have seen nothing happen.
	quietLook  = 250 * time.Millisecond
	quietLooks = 2
	// quietBytes allocated between two looks are what leases, watches and probes need.
	quietBytes = 1 << 20
	// worthBytes allocated since the last collection make another one worth its while. A burst of ten pods takes as many again.
	worthBytes = 32 << 20
)

// collectAhead collects garbage in quiet moments until ctx ends.
func collectAhead(ctx context.Context) {
	tick := time.NewTicker(quietLook)
	defer tick.Stop()
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	var pace pace
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		if pace.look(samples[0].Value.Uint64(), samples[1].Value.Uint64()) {
			runtime.GC()
		}
	}
}

// pace is what is known of allocation.
type pace struct {
	// allocated and cycles are those of the last look, collected what had been allocated at the first look after the last collection.
	allocated, cycles, collected uint64
	// quiet is how many looks in a row have seen little allocated.
	quiet int
}

// look takes the bytes allocated and the collections made so far, and says whether this is the moment for another one.
func (p *pace) look(allocated, cycles uint64) bool {
	if cycles != p.cycles {
		p.cycles, p.collected = cycles, allocated
	}
	if allocated-p.allocated < quietBytes {
		p.quiet++
	} else {
		p.quiet = 0
	}
	p.allocated = allocated
	return p.quiet >= quietLooks && allocated-p.collected >= worthBytes
}
