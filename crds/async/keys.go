package async

const (
	// ModeKey, an annotation or label of a Service or Route, says which requests are answered later.
	ModeKey = "async.knative.dev/mode"
	// ModeConditional, which holds without the annotation too, answers those later that prefer it: Prefer: respond-async.
	ModeConditional = "conditional.async.knative.dev"
	// ModeAlways answers all later but those with Prefer: respond-sync.
	ModeAlways = "always.async.knative.dev"
	// ModeNever leaves all to the app, for apps that heed Prefer: respond-async themselves. It is Ebb's own.
	ModeNever = "never.async.knative.dev"
)

// Annotations of Ebb's own, on a Service or Route.
const (
	group = "async.ebb.dev"

	// RetryKey is how many attempts follow the first one: a whole number, 0 to MaxRetry.
	RetryKey = group + "/retry"
	// BackoffKey is the delay before the second attempt, as a Go duration; it doubles with each.
	BackoffKey = group + "/backoff"
	// TimeoutKey bounds one attempt, as a Go duration, up to MaxTimeout. The revision's own timeouts do not. On a template it says how long a
	// replica that is to go waits for its calls.
	TimeoutKey = group + "/timeout"
	// TTLKey is for how long what became of a request can be asked for, as a Go duration, up to MaxTTL.
	TTLKey = group + "/ttl"
	// ConcurrencyKey is how many requests are under way at once: a whole number from 1.
	ConcurrencyKey = group + "/concurrency"
	// QueueKey is how many requests may wait: a whole number from 1. Past it the answer is 503.
	QueueKey = group + "/queue"
	// MaxBytesKey bounds the body of a request and that of its answer, in bytes, up to MaxBytes. Past it the answer is 413.
	MaxBytesKey = group + "/max-bytes"
	// DeadLetterKey is a URL that is told of each request whose attempts are used up.
	DeadLetterKey = group + "/dead-letter"
)

// Path begins the paths at which a Service's host tells what became of its requests: Path and the id. Apps do not get requests for it.
const Path = "/.ebb/async/"

// Headers of requests and answers. Clients' own x-ebb-* never get in.
const (
	// PreferHeader asks for an answer later, and AppliedHeader says that this is one (RFC 7240).
	PreferHeader  = "Prefer"
	AppliedHeader = "Preference-Applied"
	// IdempotencyHeader makes the second request of one key the first one.
	IdempotencyHeader = "Idempotency-Key"

	// HeaderPrefix begins the names of Ebb's own; apps do not get those of clients.
	HeaderPrefix = "Ebb-Async-"
	// DelayHeader is how long to wait before the first attempt: seconds, or a Go duration.
	DelayHeader = HeaderPrefix + "Delay"
	// RetryHeader, TimeoutHeader and TTLHeader are for one request what the annotations are for all; they do not go beyond them.
	RetryHeader   = HeaderPrefix + "Retry"
	TimeoutHeader = HeaderPrefix + "Timeout"
	TTLHeader     = HeaderPrefix + "Ttl"
	// CallbackHeader is the URL that gets the answer.
	CallbackHeader = HeaderPrefix + "Callback"

	// IDHeader is the request's id, for apps and in answers; StateHeader what became of it, in answers.
	IDHeader    = HeaderPrefix + "Id"
	StateHeader = HeaderPrefix + "State"
	// AttemptHeader counts the attempts, from 1. Replicas' proxies bound requests that have it by MaxTimeout alone, and gateways take it from
	// inside the cluster only.
	AttemptHeader = HeaderPrefix + "Attempt"

	// ServiceHeader tells the broker which Route a request is for, namespace/name, and HostHeader under which name the internal gateway leads
	// there. The gateway sets them.
	ServiceHeader = "x-ebb-async-service"
	HostHeader    = "x-ebb-async-host"
)
