package model

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
