package duck

// DeliverySpec says how hard to try to deliver an event, and what becomes of it otherwise. Durations are ISO 8601, such as PT0.2S.
type DeliverySpec struct {
	// DeadLetterSink is the sink receiving events that could not be sent to a destination.
	// +optional
	DeadLetterSink *Destination `json:"deadLetterSink,omitempty"`

	// Retry is the minimum number of retries the sender should attempt when sending an event before moving it to the dead letter sink.
	// +optional
	Retry *int32 `json:"retry,omitempty"`

	// Timeout is the timeout of each single request, an ISO 8601 duration greater than 0.
	// +optional
	Timeout *string `json:"timeout,omitempty"`

	// BackoffPolicy is the retry backoff policy (linear, exponential).
	// +optional
	BackoffPolicy *BackoffPolicyType `json:"backoffPolicy,omitempty"`

	// BackoffDelay is the delay before retrying, an ISO 8601 duration. For the linear policy the delay is backoffDelay*<numberOfRetries>,
	// for the exponential policy it is backoffDelay*2^<numberOfRetries>.
	// +optional
	BackoffDelay *string `json:"backoffDelay,omitempty"`

	// RetryAfterMax is an upper bound on the duration in a Retry-After header of an answer 429 or 503, an ISO 8601 duration.
	// PT0S ignores the header.
	// +optional
	RetryAfterMax *string `json:"retryAfterMax,omitempty"`

	// BackoffMax is an upper bound on one delay between retries, an ISO 8601 duration. It is Ebb's own.
	// +optional
	BackoffMax *string `json:"backoffMax,omitempty"`

	// Format is the content mode of delivered events: json (structured) or binary. Without it the mode of the sender is kept.
	// +optional
	Format *FormatType `json:"format,omitempty"`
}

// BackoffPolicyType says how delays between attempts grow.
type BackoffPolicyType string

const (
	// BackoffPolicyLinear grows delays by one backoffDelay a retry.
	BackoffPolicyLinear BackoffPolicyType = "linear"
	// BackoffPolicyExponential doubles delays at each retry.
	BackoffPolicyExponential BackoffPolicyType = "exponential"
)

// FormatType is a content mode of CloudEvents.
type FormatType string

const (
	// DeliveryFormatJSON is structured mode.
	DeliveryFormatJSON FormatType = "json"
	// DeliveryFormatBinary is binary mode.
	DeliveryFormatBinary FormatType = "binary"
)

// DeliveryStatus is what a DeliverySpec resolved to. It is embedded inline in a status.
type DeliveryStatus struct {
	// DeadLetterSinkURI is the resolved URI of the dead letter sink.
	// +optional
	DeadLetterSinkURI *string `json:"deadLetterSinkUri,omitempty"`

	// DeadLetterSinkCACerts are Certification Authority (CA) certificates in PEM format of the dead letter sink.
	// +optional
	DeadLetterSinkCACerts *string `json:"deadLetterSinkCACerts,omitempty"`

	// DeadLetterSinkAudience is the OIDC audience of the dead letter sink.
	// +optional
	DeadLetterSinkAudience *string `json:"deadLetterSinkAudience,omitempty"`
}
