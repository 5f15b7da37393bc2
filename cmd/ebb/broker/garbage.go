package broker

import (
	"runtime/debug"
	"runtime/metrics"
)

// An event leaves some 25 kB of garbage. With the small heap that a broker at rest is to have, a busy one would collect several times a second, and each
// time look through all that it knows of its Triggers.
const (
	// busyAbove is how much of a processor a broker uses that is not at rest.
	busyAbove = 0.1
	// busyGarbage is how many bytes of garbage a busy one may have; where its heap is larger, the share that it has at rest.
	busyGarbage = 64 << 20
	// leastLive is what is taken for alive before a collection has told.
	leastLive = 16 << 20
	// calmAfter is after how many looks it is at rest again.
	calmAfter = 10
)

// garbage decides how much of it there may be, in percent of what lives, as GOGC.
type garbage struct {
	// rest is that of a broker at rest, percent the one now.
	rest, percent int
	// calm is for how many looks there was little to do.
	calm int
}

// newGarbage begins with what the process was started with.
func newGarbage() *garbage {
	rest := debug.SetGCPercent(100)
	debug.SetGCPercent(rest)
	return &garbage{rest: rest, percent: rest}
}

// next is the percentage from now on, so many processors having been used since the last look, and so many bytes being alive.
func (g *garbage) next(used float64, live uint64) int {
	if g.rest < 0 {
		return g.percent // whoever turned collecting off meant it
	}
	if used <= busyAbove {
		if g.calm = min(g.calm+1, calmAfter); g.calm == calmAfter {
			g.percent = g.rest
		}
		return g.percent
	}
	g.calm = 0
	want := max(g.rest, int(100*busyGarbage/max(live, leastLive)))
	// Setting it stops everything for some microseconds: a small difference is none.
	if want > g.percent+g.percent/4 || want < g.percent-g.percent/4 {
		g.percent = want
	}
	return g.percent
}

// fit lets there be as much as next says. What a busy broker leaves behind is collected, and given back, when it comes to rest.
func (g *garbage) fit(used float64) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	var live uint64
	if v := sample[0].Value; v.Kind() == metrics.KindUint64 {
		live = v.Uint64()
	}
	before := g.percent
	percent := g.next(used, live)
	if percent == before {
		return
	}
	debug.SetGCPercent(percent)
	if g.calm > 0 {
		debug.FreeOSMemory()
	}
}
