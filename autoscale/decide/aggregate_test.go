package decide

import (
	"math"
	"testing"
	"testing/quick"
	"time"

	"ebb.dev/ebb/crds/autoscaling"
)

// full makes buckets of whole seconds, newest first, after an empty one that now has just entered.
func full(values ...float64) []Bucket {
	buckets := []Bucket{{}}
	for _, v := range values {
		buckets = append(buckets, Bucket{Sum: v, Covered: 1})
	}
	return buckets
}

func average(buckets []Bucket, elapsed float64, window int, algorithm string) Demand {
	return Average(buckets, elapsed, Averaging{Window: time.Duration(window) * time.Second, Algorithm: algorithm})
}

func TestLinearAverageIsTheTotalOverTheMeasuredSeconds(t *testing.T) {
	tests := []struct {
		name    string
		buckets []Bucket
		elapsed float64
		window  int
		want    float64
		covered time.Duration
	}{
		{"nothing measured", full(), 0, 4, 0, 0},
		{"a full window", full(10, 10, 5, 5), 0, 4, 7.5, 4 * time.Second},
		{"a partial window counts its own length", full(10, 5), 0, 60, 7.5, 2 * time.Second},
		{"what is older than the window is out", full(1, 1, 1, 1, 100), 0, 4, 1, 4 * time.Second},
		{"a fifth into a second, the oldest counts four fifths", []Bucket{{Sum: 2, Covered: .2}, {Sum: 10, Covered: 1}, {Sum: 5, Covered: 1}}, .2, 2, (2 + 10 + .8*5) / 2, 2 * time.Second},
		{"200 ms are enough to know", []Bucket{{Sum: 10, Covered: .2}}, .2, 60, 50, 200 * time.Millisecond},
		{"an unmeasured second is left out", []Bucket{{}, {Sum: 6, Covered: 1}, {}, {Sum: 2, Covered: 1}}, 0, 4, 4, 2 * time.Second},
		{"float noise is rounded off", full(0.1, 0.2), 0, 2, 0.15, 2 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := average(tt.buckets, tt.elapsed, tt.window, autoscaling.Linear)
			if got.Mean != tt.want || got.Covered.Round(time.Microsecond) != tt.covered {
				t.Errorf("got %+v, want %v over %v", got, tt.want, tt.covered)
			}
		})
	}
}

// By hand: with 4 buckets α = 1−0.0001^(1/4) = 0.9; with 60 it would be 0.142, so 0.2.
func TestWeightedAverageFallsByAlpha(t *testing.T) {
	tests := []struct {
		name    string
		buckets []Bucket
		elapsed float64
		window  int
		want    float64
	}{
		{"four seconds", full(10, 10, 5, 5), 0, 4, .9*10 + .09*10 + .009*5 + .0009*5},
		{"a long window has the least α", full(10, 5), 0, 60, .2*10 + .16*5},
		{"missing seconds are 0", []Bucket{{}, {}, {Sum: 10, Covered: 1}}, 0, 4, .09 * 10},
		{"between two seconds of the clock", []Bucket{{Sum: 5, Covered: .5}, {Sum: 20, Covered: 1}}, .5, 4, .9*(5+10) + .09*20},
		{"a partly measured second stands for all of it", []Bucket{{Sum: 2, Covered: .2}}, .2, 4, .9 * 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := average(tt.buckets, tt.elapsed, tt.window, autoscaling.WeightedExponential)
			if math.Abs(got.Mean-tt.want) > 1e-9 {
				t.Errorf("got %v, want %v", got.Mean, tt.want)
			}
		})
	}
}

func TestARateTakesLessThanASecondForAWholeOne(t *testing.T) {
	burst := []Bucket{{Sum: 50, Covered: .01}}
	for _, algorithm := range []string{autoscaling.Linear, autoscaling.WeightedExponential} {
		a := Averaging{Window: time.Minute, Algorithm: algorithm, Rate: true}
		want := 50.
		if algorithm == autoscaling.WeightedExponential {
			want = .2 * 50
		}
		if got := Average(burst, .01, a); math.Abs(got.Mean-want) > 1e-9 {
			t.Errorf("%s: 50 requests in 10 ms are %v a second, want %v", algorithm, got.Mean, want)
		}
	}
}

func TestAnAverageLiesBetweenItsLeastAndItsMost(t *testing.T) {
	property := func(values []uint16, elapsedPart uint8, window uint8) bool {
		elapsed := float64(elapsedPart) / 256
		buckets := []Bucket{{Sum: 7 * elapsed, Covered: elapsed}}
		least, most := 7., 7.
		for _, v := range values {
			f := float64(v)
			least, most = math.Min(least, f), math.Max(most, f)
			buckets = append(buckets, Bucket{Sum: f, Covered: 1})
		}
		n := int(window%60) + 1
		plain := average(buckets, elapsed, n, autoscaling.Linear)
		decayed := average(buckets, elapsed, n, autoscaling.WeightedExponential)
		if plain.Covered > time.Duration(n)*time.Second+time.Microsecond {
			return false
		}
		if plain.Covered > 0 && (plain.Mean < least-1e-6 || plain.Mean > most+1e-6) {
			return false
		}
		return decayed.Mean >= 0 && decayed.Mean <= most+1e-6
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}
