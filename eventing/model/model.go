package model

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/eventing/filter"
)

// Key names an API object within its kind.
type Key = types.NamespacedName

// Kind is what a stream or a reader was made for.
type Kind string

// The kinds of streams and readers.
const (
	Broker       Kind = "Broker"
	Channel      Kind = "Channel"
	Trigger      Kind = "Trigger"
	Subscription Kind = "Subscription"
)

// StreamID names one stream of the log, for its life: a Broker that is made again under its name has another.
type StreamID string

// Stream is a Broker or a Channel: what is accepted for it is stored there.
type Stream struct {
	ID   StreamID
	Kind Kind
	Key  Key
	// Hosts are names of its own by which it is reached, besides the path /NAMESPACE/NAME of a Broker.
	Hosts []string
	// Limits bound what is kept; zero values are the log's defaults.
	Limits Limits
}

// Limits bound a stream. What nobody has read yet is never dropped for them: the stream is full then, and accepts nothing more.
type Limits struct {
	// Age and Bytes bound what is kept of what everybody has read.
	Age   time.Duration
	Bytes int64
	// Unread bounds what somebody has still to read, in bytes; past it the ingress answers 503.
	Unread int64
	// Event is the largest event accepted, in bytes; past it the ingress answers 413.
	Event int64
	// Dedupe is how long an event of the same source and id is taken for the same; zero takes none for the same.
	Dedupe time.Duration
}

// ReaderID names one reader and its position, for its life.
type ReaderID string

// Reader is a Trigger or a Subscription: it gets each event of its stream that passes its filter, at least once.
type Reader struct {
	ID     ReaderID
	Kind   Kind
	Key    Key
	Stream StreamID
	// Filter is what passes; nil passes everything.
	Filter filter.Filter
	// Subscriber gets the events; without a URL none is delivered, and the reader waits where it is.
	Subscriber Destination
	// Reply gets what the subscriber answers; without a URL, answers of a Trigger go back into its Broker, those of a Subscription nowhere.
	Reply Destination
	// Delivery says how hard one tries.
	Delivery Delivery
	// Start is where a new reader begins.
	Start Start
	// Begun says that it is not new. If the log knows nothing of it all the same, it is the log that is: it was lost, and all it has came since.
	Begun bool
	// Ordered delivers one event at a time, in the order of the stream; with a partition key, one at a time for each key.
	Ordered bool
	// Concurrency is how many deliveries are under way at once; zero is the dispatcher's default.
	Concurrency int
	// Rate is how many deliveries begin in a second; zero is no limit.
	Rate float64
	// Paused delivers nothing and keeps the position.
	Paused bool
	// As is who sends to whatever asks who sends.
	As Account
}

// Account is a ServiceAccount that something sends as. The zero value is nobody.
type Account struct {
	Key Key
	// UID tells it from others that had its name: their tokens are not its own.
	UID types.UID
}

// Subject is how receivers know it; "" for nobody.
func (a Account) Subject() string {
	if a.Key.Name == "" {
		return ""
	}
	return "system:serviceaccount:" + a.Key.Namespace + ":" + a.Key.Name
}

// Destination is where events go.
type Destination struct {
	// URL is absolute; empty is none.
	URL string
	// CACerts are PEM roots to trust for it, besides the system's.
	CACerts string
	// Audience is that of the token to send; empty sends none.
	Audience string
}

// Backoff says how delays between attempts grow.
type Backoff string

// The ways delays grow: delay·n and delay·2ⁿ.
const (
	Linear      Backoff = "linear"
	Exponential Backoff = "exponential"
)

// Delivery says how hard one tries, and what becomes of what cannot be delivered.
type Delivery struct {
	// Retry is how many attempts follow the first one.
	Retry   int
	Backoff Backoff
	// Delay is the unit of Backoff; Max bounds one delay, zero does not.
	Delay, Max time.Duration
	// RetryAfterMax bounds a subscriber's Retry-After; nil heeds none, zero ignores it.
	RetryAfterMax *time.Duration
	// Timeout bounds one attempt.
	Timeout time.Duration
	// DeadLetter gets what could not be delivered; without a URL it is kept on the reader's own list of dead letters.
	DeadLetter Destination
	// Structured sends events in structured mode.
	Structured bool
}

// Start is where a new reader begins. The zero value is now.
type Start struct {
	// Earliest begins with the oldest that is kept.
	Earliest bool
	// Last begins with the newest that is kept.
	Last bool
	// Since begins with what was stored at that time or later.
	Since time.Time
	// Position begins with that position.
	Position uint64
}
