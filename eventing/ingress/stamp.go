package ingress

import (
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"ebb.dev/ebb/eventing/extension"
)

// stamp sets what a Broker sets on an event that enters it. spend is how many hops entering takes: the dispatcher has already taken the one of
// a reply. An event that has none left goes round in circles, and is refused.
func stamp(e *event.Event, spend int32, now time.Time) error {
	left, given := extension.Hops(e)
	if given {
		left -= spend
	}
	if left <= 0 {
		return fmt.Errorf("event %s of %s has entered brokers too often: its %s is used up", e.ID(), e.Source(), extension.TTL)
	}
	e.SetExtension(extension.TTL, left)
	e.SetExtension(extension.ArrivalTime, types.Timestamp{Time: now.UTC()})
	return nil
}
