package main

import "testing"

func TestGarbageIsCollectedInPauses(t *testing.T) {
	const mb = 1 << 20
	var p pace
	for i, look := range []struct {
		allocated, cycles, live uint64
		want                    bool
		why                     string
	}{
		{100 * mb, 5, 60 * mb, false, "the first look knows nothing"},
		{100 * mb, 5, 60 * mb, false, "quiet"},
		{100 * mb, 5, 60 * mb, false, "quiet"},
		{100 * mb, 5, 60 * mb, false, "a pause, but nothing to collect"},
		{140 * mb, 5, 60 * mb, false, "much is happening"},
		{140*mb + 1000, 5, 60 * mb, false, "quiet for one look"},
		{140*mb + 2000, 5, 60 * mb, false, "quiet for two"},
		{140*mb + 3000, 5, 60 * mb, true, "a pause, and worth it"},
		{140*mb + 4000, 6, 60 * mb, false, "it has just been done"},
		{180 * mb, 7, 60 * mb, false, "the collector came by itself in a burst"},
		{180*mb + 1000, 7, 60 * mb, false, "so there is nothing to collect"},
		{180*mb + 2000, 7, 60 * mb, false, "so there is nothing to collect"},
		{180*mb + 3000, 7, 60 * mb, false, "however quiet it is"},
		{212 * mb, 7, 60 * mb, false, "not in a burst"},
		{212*mb + 1000, 7, 60 * mb, false, "nor right after it"},
		{212*mb + 2000, 7, 60 * mb, false, "nor soon after it"},
		{212*mb + 3000, 7, 160 * mb, false, "a large heap is not gone through for so little"},
		{212*mb + 4000, 7, 60 * mb, true, "but a small one"},
	} {
		if got := p.look(look.allocated, look.cycles, look.live); got != look.want {
			t.Errorf("look %d, %s: %t", i, look.why, got)
		}
	}
}

func TestTheHeapMayGrowWhileSomethingHappens(t *testing.T) {
	const mb, busy = 1 << 20, 150 // 256 MiB of 170, rounded down
	var p pace
	var allocated uint64
	// looks has so many of them see so much allocated each, and tells what the last one says.
	looks := func(n int, each uint64) int {
		for range n {
			allocated += each
			p.look(allocated, 0, 170*mb)
		}
		return p.percent(170 * mb)
	}
	for _, c := range []struct {
		n    int
		each uint64
		want int
		why  string
	}{
		{1, 100 * mb, busy, "the start"},
		{spanLooks + restLooks - 2, 100 << 10, busy, "not at rest yet"},
		{1, 100 << 10, restPercent, "at rest"},
		{1, 500 << 10, restPercent, "a jolt, as of a lease"},
		{20, 100 << 10, restPercent, "and no other"},
		{1, 2 * mb, busy, "a pod starts"},
		{9, 0, busy, "a pause is no rest"},
		{1, 0, restPercent, "a longer one is"},
		{100, 300 << 10, busy, "no jolt, but more than at rest"},
	} {
		if got := looks(c.n, c.each); got != c.want {
			t.Errorf("%s: %d %%, not %d", c.why, got, c.want)
		}
	}
	for _, live := range []uint64{300 * mb, 466 * mb, 0} {
		if got := p.percent(live); got != restPercent {
			t.Errorf("%d MiB live: %d %%: large, or not known yet", live/mb, got)
		}
	}
}

func TestTheLimitNeverStopsAHeapThatMayGrow(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		live, beside uint64
		percent      int
		want         int64
	}{
		{0, 0, restPercent, 400 * mb},
		{120 * mb, 100 * mb, restPercent, 400 * mb},
		{170 * mb, 120 * mb, 150, 576 * mb},
		{466 * mb, 160 * mb, restPercent, 1024 * mb},
		// A thousand services were there and are gone: what they left is full of gaps. With the 768 MiB that it had without them, the collector ran
		// three times a second, on both processors, for ever.
		{340 * mb, 638 * mb, restPercent, 1280 * mb},
	} {
		got := limit(c.live, c.beside, c.percent)
		if got != c.want {
			t.Errorf("%d MiB live, %d beside: %d MiB, not %d", c.live/mb, c.beside/mb, got/mb, c.want/mb)
		}
		grown := c.live * uint64(100+c.percent) / 100
		if left := (uint64(got) - c.beside) / 100 * 97; left < grown {
			t.Errorf("%d MiB leave %d for a heap that may grow to %d", got/mb, left/mb, grown/mb)
		}
	}
}
