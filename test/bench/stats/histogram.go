package stats

import (
	"math/bits"
	"time"
)

// resolution is how many buckets there are between a power of two and the next: the error is at most one part in 128.
const (
	resolutionBits = 7
	resolution     = 1 << resolutionBits
)

// Histogram counts durations. Its size grows with the longest, not with their number. The zero value is empty.
type Histogram struct {
	// Counts are by bucket.
	Counts []uint64 `json:"counts"`
	Total  uint64   `json:"total"`
}

// bucket of a duration: exact below resolution microseconds, then resolution buckets for each doubling.
func bucket(d time.Duration) int {
	n := uint64(max(0, d.Microseconds()))
	if n < 2*resolution {
		return int(n)
	}
	shift := bits.Len64(n) - resolutionBits - 1
	return shift*resolution + int(n>>shift)
}

// value is the middle of a bucket.
func value(bucket int) time.Duration {
	if bucket < 2*resolution {
		return time.Duration(bucket) * time.Microsecond
	}
	shift := bucket/resolution - 1
	low := uint64(bucket-shift*resolution) << shift
	return time.Duration(low+uint64(1)<<shift/2) * time.Microsecond
}

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) {
	b := bucket(d)
	if b >= len(h.Counts) {
		h.Counts = append(h.Counts, make([]uint64, b+1-len(h.Counts))...)
	}
	h.Counts[b]++
	h.Total++
}

// Merge adds another histogram's counts.
func (h *Histogram) Merge(other Histogram) {
	if len(other.Counts) > len(h.Counts) {
		h.Counts = append(h.Counts, make([]uint64, len(other.Counts)-len(h.Counts))...)
	}
	for i, n := range other.Counts {
		h.Counts[i] += n
	}
	h.Total += other.Total
}

// Quantile is the duration that the share q of all does not exceed, within one part in 128; 0 when nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.Total))
	var seen uint64
	for b, n := range h.Counts {
		if seen += n; n > 0 && seen > rank || seen == h.Total && n > 0 {
			return value(b)
		}
	}
	return 0
}
