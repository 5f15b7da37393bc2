package extension

import (
	"math"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
)

func TestAnEventSaysHowManyHopsItHasLeft(t *testing.T) {
	for _, tt := range []struct {
		ttl   any
		left  int32
		given bool
	}{
		{nil, FullTTL, false}, {int32(3), 3, true}, {"3", 3, true}, {int32(0), 0, true}, {int32(-4), 0, true}, {int32(math.MinInt32), 0, true},
		{"many", FullTTL, false}, {"99999999999", FullTTL, false}, {true, FullTTL, false},
	} {
		e := event.New()
		if tt.ttl != nil {
			e.SetExtension(TTL, tt.ttl)
		}
		if left, given := Hops(&e); left != tt.left || given != tt.given {
			t.Errorf("%v: %d, %t, want %d, %t", tt.ttl, left, given, tt.left, tt.given)
		}
	}
}

func TestTheNamesAreOnesThatEventsMayHave(t *testing.T) {
	for _, name := range []string{TTL, ArrivalTime, PartitionKey, TraceParent, TraceState, ErrorDest, ErrorCode, ErrorData} {
		if !event.IsExtensionNameValid(name) {
			t.Errorf("%q", name)
		}
	}
}
