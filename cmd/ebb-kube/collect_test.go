package main

import "testing"

func TestGarbageIsCollectedInQuietMoments(t *testing.T) {
	const mb = 1 << 20
	var p pace
	for i, look := range []struct {
		allocated, cycles, live uint64
		want                    bool
		why                     string
	}{
		{100 * mb, 5, 60 * mb, false, "the first look knows nothing"},
		{100 * mb, 5, 60 * mb, false, "quiet, but nothing to collect"},
		{140 * mb, 5, 60 * mb, false, "much is happening"},
		{140*mb + 1000, 5, 60 * mb, false, "quiet for one look"},
		{140*mb + 2000, 5, 60 * mb, true, "quiet, and worth it"},
		{140*mb + 3000, 6, 60 * mb, false, "it has just been done"},
		{180 * mb, 7, 60 * mb, false, "the collector came by itself in a burst"},
		{180*mb + 1000, 7, 60 * mb, false, "so there is nothing to collect"},
		{180*mb + 2000, 7, 60 * mb, false, "however quiet it is"},
		{212 * mb, 7, 60 * mb, false, "not in a burst"},
		{212*mb + 1000, 7, 60 * mb, false, "nor right after it"},
		{212*mb + 2000, 7, 160 * mb, false, "a large heap is not gone through for so little"},
		{212*mb + 3000, 7, 60 * mb, true, "but soon"},
	} {
		if got := p.look(look.allocated, look.cycles, look.live); got != look.want {
			t.Errorf("look %d, %s: %t", i, look.why, got)
		}
	}
}

func TestTheHeapMayGrowWhileSomethingHappens(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		quiet int
		live  uint64
		want  int
	}{
		{0, 170 * mb, 150}, // 256 MiB, rounded down
		{1, 170 * mb, 150},
		{2, 170 * mb, restPercent},
		{0, 300 * mb, restPercent},
		{0, 466 * mb, restPercent},
		{0, 0, restPercent}, // nothing was collected yet
	} {
		if got := (&pace{quiet: c.quiet}).percent(c.live); got != c.want {
			t.Errorf("quiet for %d looks, %d MiB live: %d %%, not %d", c.quiet, c.live/mb, got, c.want)
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
