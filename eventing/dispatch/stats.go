package dispatch

import (
	"math"
	"time"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// stats count what a reader did since the process began.
type stats struct {
	matched, delivered, retried, replied, deadSink, deadKept, lost, expired, malformed uint64
	// replayed are deliveries of replays.
	replayed uint64
	// deliveredAt, repliedAt and deadAt are when that happened last.
	deliveredAt, repliedAt, deadAt time.Time
	// attempts are how long attempts take, latency is from storing an event to its being taken.
	attempts, latency *histogram
	failure           failure
	// first is where counting began.
	first log.Position
	rate  rate
	ends  ends
}

// failure is the last attempt that failed.
type failure struct {
	At     time.Time
	Status int
	Text   string
}

func (s *stats) match(now time.Time) {
	s.matched++
	s.rate.add(now)
}

// rateWindow is the time over which the rate of matches fades.
const rateWindow = 10 * time.Second

// rate counts with exponential fading.
type rate struct {
	sum float64
	at  time.Time
}

func (r *rate) add(now time.Time) {
	r.sum = r.faded(now) + 1
	r.at = now
}

func (r *rate) faded(now time.Time) float64 {
	if r.sum == 0 {
		return 0
	}
	return r.sum * math.Exp(-max(now.Sub(r.at), 0).Seconds()/rateWindow.Seconds())
}

// perSecond is the rate at a time.
func (r *rate) perSecond(now time.Time) float64 { return r.faded(now) / rateWindow.Seconds() }

// bounds are the upper bounds of the histogram's buckets, in seconds.
var bounds = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}

// histogram counts durations; it is made when the first is observed.
type histogram struct {
	buckets [len(bounds)]uint64
	count   uint64
	sum     float64
}

// observe counts a duration in a histogram, which is made if need be.
func observe(to **histogram, d time.Duration) {
	if *to == nil {
		*to = &histogram{}
	}
	h, seconds := *to, d.Seconds()
	h.count++
	h.sum += seconds
	for i, bound := range bounds {
		if seconds <= bound {
			h.buckets[i]++
			return
		}
	}
}

// taken counts an event that the subscriber took, and how long after it was stored, if that is known.
func (s *stats) taken(stored, now time.Time) {
	s.delivered++
	s.deliveredAt = now
	if !stored.IsZero() {
		observe(&s.latency, max(now.Sub(stored), 0))
	}
}

func (h *histogram) copy() *histogram {
	if h == nil {
		return nil
	}
	c := *h
	return &c
}

// cumulative is the histogram as Prometheus counts.
func (h *histogram) cumulative() map[float64]uint64 {
	m := make(map[float64]uint64, len(bounds))
	var n uint64
	for i, bound := range bounds {
		n += h.buckets[i]
		m[bound] = n
	}
	return m
}

// Reader is what a reader looks like at one moment.
type Reader struct {
	ID     model.ReaderID
	Kind   model.Kind
	Key    model.Key
	Stream model.StreamID
	// Low is up to where nothing is needed any more, Scanned up to where everything was looked at, Head the end of what the stream offered.
	Low, Scanned, Head log.Position
	// Open is how many events are not done with, InFlight how many of them are being delivered.
	Open, InFlight int
	// Oldest is when the oldest open event was stored; zero if there is none or it is not known.
	Oldest time.Time
	// NextAttempt is when the next retry is due; zero if none is.
	NextAttempt time.Time
	// Behind says that the reader catches up from the log. Paused and Nowhere say why nothing is delivered: it was asked for, or there is
	// no subscriber.
	Behind, Paused, Nowhere bool
	// Subscriber, Reply and DeadLetter are the URLs that things are sent to; empty is none.
	Subscriber, Reply, DeadLetter string
	// Counts since the process began. Dead letters went to the sink, or to the reader's list of dead events. Expired are replies without a
	// hop left, Malformed replies that were no events, Lost events that the log did not keep.
	// Filtered did not pass the filter, Replayed were taken again in replays.
	Matched, Filtered, Delivered, Retried, Replied, DeadSink, DeadKept, Expired, Malformed, Lost, Replayed uint64
	// MatchedAt and so on are when that happened last; zero if it has not.
	MatchedAt, DeliveredAt, RepliedAt, DeadAt time.Time
	// Failed* are of the last attempt that failed; FailedStatus is 0 if there was no answer.
	FailedAt     time.Time
	FailedStatus int
	FailedText   string
	// Rate is how many events pass the filter, per second.
	Rate float64
}

// Snapshot is all readers, in no order.
func (d *Dispatcher) Snapshot() []Reader {
	readers := d.all()
	all := make([]Reader, len(readers))
	for i, r := range readers {
		all[i] = r.snapshot()
	}
	return all
}

// Backlog is how many events a reader has still to get, and how many pass its filter per second. What it has not looked at yet counts by the
// share that passed so far. An unknown reader has none.
func (d *Dispatcher) Backlog(id model.ReaderID) (pending int, perSecond float64) {
	r := d.reader(id)
	if r == nil {
		return 0, 0
	}
	s := r.snapshot()
	pending = s.Open
	if s.Behind && s.Head > s.Scanned {
		share := 1.0
		if seen := s.Scanned - min(r.stats.first, s.Scanned); seen > 0 {
			share = math.Min(1, float64(s.Matched)/float64(seen))
		}
		pending += int(math.Ceil(share * float64(s.Head-s.Scanned)))
	}
	return pending, s.Rate
}

func (r *reader) snapshot() Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	low, now, n := r.low(), r.d.Clock.Now(), &r.stats
	s := Reader{
		ID: r.id, Kind: r.spec.Kind, Key: r.spec.Key, Stream: r.stream.id,
		Low: low, Scanned: r.window.Scanned(), Head: log.Position(r.stream.head.Load()),
		Open: r.window.Open(), InFlight: r.window.InFlight(), Behind: r.behind, Paused: r.spec.Paused, Nowhere: r.spec.Subscriber.URL == "",
		Subscriber: r.spec.Subscriber.URL, Reply: r.spec.Reply.URL, DeadLetter: r.spec.Delivery.DeadLetter.URL,
		Matched: n.matched, Delivered: n.delivered, Retried: n.retried, Replied: n.replied, DeadSink: n.deadSink, DeadKept: n.deadKept,
		Expired: n.expired, Malformed: n.malformed, Lost: n.lost,
		FailedAt: n.failure.At, FailedStatus: n.failure.Status, FailedText: n.failure.Text, Rate: n.rate.perSecond(now),
	}
	// Positions are dense but for gaps that are rare.
	if looked := max(s.Scanned, n.first) - n.first; uint64(looked) > n.matched {
		s.Filtered = uint64(looked) - n.matched
	}
	s.Replayed, s.MatchedAt, s.DeliveredAt, s.RepliedAt, s.DeadAt = n.replayed, n.rate.at, n.deliveredAt, n.repliedAt, n.deadAt
	if s.Open > 0 {
		s.Oldest = r.events[low+1].stored
	}
	if at, ok := r.window.Wait(); ok {
		s.NextAttempt = at
	}
	return s
}
