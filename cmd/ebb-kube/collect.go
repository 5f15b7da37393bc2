package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A collection of this heap takes some 200 ms of processor time, and left alone it comes when much is allocated: in the midst of a burst of
// pods that somebody waits for, and of a large one again and again. So it is done ahead, while nothing happens, and while something does the
// heap may grow further before the next one. A pause is soon over and has to be seen at once; whether anything happens is seen from further away:
// by pauses alone an idle Kubernetes, which is up to something every other moment, would keep the memory that a busy one may have.
const (
	// lookInterval is the time between two looks.
	lookInterval = 50 * time.Millisecond
	// pauseLooks in a row that saw less than pauseBytes allocated since the one before are a pause: those who start pods one after the other leave
	// some of them, and no more.
	pauseLooks = 3
	pauseBytes = 200 << 10
	// restLooks in a row that saw less than restBytes allocated since spanLooks ago are rest: leases, watches and probes come in jolts.
	restLooks = 6
	spanLooks = 5
	restBytes = 1 << 20
	// worthBytes allocated since the last collection make another one worth its while, or half of what the heap may grow, if that is more: a
	// large heap takes longer to go through. A burst of ten pods takes as many again.
	worthBytes = 32 << 20

	// restPercent is how much the heap may grow, at rest and where it is large.
	restPercent = 75
	// busyBytes are how much it may grow in any case while something happens, in steps of busyStep percent.
	busyBytes = 256 << 20
	busyStep  = 25

	// leastLimit is what the process may keep from the system at least. The limit follows the heap, in steps of limitStep: one that stays where it
	// is would be smaller than the heap of a thousand services, and the collector would never stop.
	leastLimit = 400 << 20
	limitStep  = 64 << 20
)

// collectAhead paces the collector until ctx ends.
func collectAhead(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	var pace pace
	percent := restPercent
	var most int64
	for {
		metrics.Read(samples)
		live, beside := samples[2].Value.Uint64(), samples[3].Value.Uint64()
		for _, heap := range samples[4:] {
			beside -= heap.Value.Uint64()
		}
		collect := pace.look(samples[0].Value.Uint64(), samples[1].Value.Uint64(), live)
		if p := pace.percent(live); p != percent {
			percent = p
			debug.SetGCPercent(p)
		}
		if m := limit(live, beside, percent); m != most {
			most = m
			debug.SetMemoryLimit(m)
		}
		if collect {
			runtime.GC()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// limit is how much memory the process keeps from the system: a heap that may grow by so many percent never reaches it, but what a burst or the
// start needed beyond that goes back. beside is what the runtime counts beside objects: stacks, its own tables, and the gaps between objects,
// which are most of the memory where a thousand services were and are gone. It lets the heap grow to what is left of the limit, less 3 %
// (runtime.gcControllerState.memoryLimitHeapGoal).
func limit(live, beside uint64, percent int) int64 {
	full := live + live/100*uint64(percent)
	full += full/32 + beside
	return int64(max(leastLimit, full-full%limitStep+limitStep))
}

// pace is what is known of allocation.
type pace struct {
	// cycles are those of the last look, collected what had been allocated at the first look after the last collection.
	cycles, collected uint64
	// allocated is what had been by each of the last looks, the newest at last.
	allocated [spanLooks]uint64
	last      int
	// paused and rested are how many looks in a row have seen little allocated since the one before, and since spanLooks ago.
	paused, rested int
}

// look takes the bytes allocated and the collections made so far, and how many bytes the last one left, and says whether this is the moment for
// another one.
func (p *pace) look(allocated, cycles, live uint64) (collect bool) {
	if cycles != p.cycles {
		p.cycles, p.collected = cycles, allocated
	}
	oldest := (p.last + 1) % spanLooks
	p.paused = inARow(p.paused, allocated-p.allocated[p.last] < pauseBytes)
	p.rested = inARow(p.rested, allocated-p.allocated[oldest] < restBytes)
	p.allocated[oldest], p.last = allocated, oldest
	return p.paused >= pauseLooks && allocated-p.collected >= max(worthBytes, live*restPercent/200)
}

func inARow(n int, another bool) int {
	if !another {
		return 0
	}
	return n + 1
}

// percent is by how much of what lives in it the heap may grow.
func (p *pace) percent(live uint64) int {
	if p.rested >= restLooks || live == 0 {
		return restPercent
	}
	grow := int(busyBytes * 100 / live)
	return max(restPercent, grow-grow%busyStep)
}
