package stats

import (
	"math"
	"testing"
	"time"
)

func TestQuantilesAreSamples(t *testing.T) {
	s := Samples{5, 1, 3, 2, 4}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := s.Quantile(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if !math.IsNaN(Samples(nil).Median()) {
		t.Error("nothing has a median")
	}
}

// The ranks are those of the tables of the sign test at 5 %, two-sided.
func TestAMedianLiesBetween(t *testing.T) {
	for n, k := range map[int]int{6: 1, 8: 1, 9: 2, 12: 3, 20: 6, 36: 12, 50: 18} {
		var s Samples
		for i := range n {
			s = append(s, float64(n-i))
		}
		if low, high := s.MedianBetween(); low != float64(k) || high != float64(n-k+1) {
			t.Errorf("of %d samples between the %v. and the %v., want %d. and %d.", n, low, high, k, n-k+1)
		}
	}
	for _, s := range []Samples{nil, {1}, {1, 2, 3, 4, 5}} {
		if low, high := s.MedianBetween(); !math.IsNaN(low) || !math.IsNaN(high) {
			t.Errorf("%v says %v to %v", s, low, high)
		}
	}
}

func TestAHistogramIsTrueToOnePartInAHundred(t *testing.T) {
	for _, d := range []time.Duration{0, 3 * time.Microsecond, 255 * time.Microsecond, 256 * time.Microsecond, time.Millisecond, 77777 * time.Microsecond, 3 * time.Second, time.Hour} {
		var h Histogram
		h.Add(d)
		if got := h.Quantile(0.5); math.Abs(float64(got-d)) > 0.01*float64(d)+1 {
			t.Errorf("%v came back as %v", d, got)
		}
	}
}

func TestHistogramsAddUp(t *testing.T) {
	var a, b Histogram
	for i := range 90 {
		a.Add(time.Duration(i) * time.Microsecond)
	}
	for range 10 {
		b.Add(time.Second)
	}
	a.Merge(b)
	if got := a.Quantile(0.5); a.Total != 100 || got != 50*time.Microsecond {
		t.Errorf("median %v of %d", got, a.Total)
	}
	if got := a.Quantile(0.99); got < 990*time.Millisecond || got > 1010*time.Millisecond {
		t.Errorf("p99 %v", got)
	}
}
