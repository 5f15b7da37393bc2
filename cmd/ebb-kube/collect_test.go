package main

import "testing"

func TestGarbageIsCollectedInQuietMoments(t *testing.T) {
	const mb = 1 << 20
	var p pace
	for i, look := range []struct {
		allocated, cycles uint64
		want              bool
		why               string
	}{
		{100 * mb, 5, false, "the first look knows nothing"},
		{100 * mb, 5, false, "quiet, but nothing to collect"},
		{140 * mb, 5, false, "much is happening"},
		{140*mb + 1000, 5, false, "quiet for one look"},
		{140*mb + 2000, 5, true, "quiet, and worth it"},
		{140*mb + 3000, 6, false, "it has just been done"},
		{180 * mb, 7, false, "the collector came by itself in a burst"},
		{180*mb + 1000, 7, false, "so there is nothing to collect"},
		{180*mb + 2000, 7, false, "however quiet it is"},
		{212 * mb, 7, false, "not in a burst"},
		{212*mb + 1000, 7, false, "nor right after it"},
		{212*mb + 2000, 7, true, "but soon"},
	} {
		if got := p.look(look.allocated, look.cycles); got != look.want {
			t.Errorf("look %d, %s: %t", i, look.why, got)
		}
	}
}
