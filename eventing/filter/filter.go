package filter

import "github.com/cloudevents/sdk-go/v2/event"

// Filter is a compiled filter.
type Filter interface {
	// Pass reports whether the event passes. It does not change the event.
	Pass(e *event.Event) bool
}
