package model

import (
	"cmp"
	"maps"
	"slices"
)

// Backlog is what waits to be delivered to one destination at one moment.
type Backlog struct {
	// URL is the destination.
	URL string
	// Waiting is how many events are to be delivered of which no delivery is under way.
	Waiting int
	// AtOnce is how many deliveries are going to be under way at once if the destination takes them: more replicas than that are of no use.
	AtOnce int
	// Due is how many of those are not yet, because they are begun step by step.
	Due int
	// PerSecond is how many deliveries a second it takes to keep up with what comes and to get done with what waits, as far as they are going
	// to be made; 0 where that is not known.
	PerSecond float64
}

// SumBacklogs adds up what waits for the same destination. What has nothing waiting is left out; the order is that of URLs.
func SumBacklogs(all []Backlog) []Backlog {
	sums := map[string]Backlog{}
	for _, b := range all {
		if b.Waiting == 0 {
			continue
		}
		sum := sums[b.URL]
		sums[b.URL] = Backlog{
			URL: b.URL, Waiting: sum.Waiting + b.Waiting, AtOnce: sum.AtOnce + b.AtOnce, Due: sum.Due + b.Due, PerSecond: sum.PerSecond + b.PerSecond,
		}
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b Backlog) int { return cmp.Compare(a.URL, b.URL) })
}
