package sweep

import (
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// Reading is a reader's state of a stream.
type Reading struct {
	Stream model.StreamID
	Reader model.ReaderID
}

// Plan is what there is to drop.
type Plan struct {
	// Streams go with everything in them.
	Streams []model.StreamID
	// Readers go from streams that stay.
	Readers []Reading
}

// The beginnings of names that end with the UID of what they were made for.
var (
	readersOf = []string{"trigger.", "subscription.", "apiserversource."}
	streamsOf = []string{
		"broker.", "channel.", "apiserversource.", "dead/trigger.", "dead/subscription.", "dead/apiserversource.",
		"side/trigger.", "side/subscription.", "side/apiserversource.",
	}
)

// uid is what an API server names objects by.
var uid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// madeFor is the UID that a name ends with, before a partition if it is of one; false for a name that is not understood.
func madeFor(name string, beginnings []string) (types.UID, bool) {
	name, _ = partition.Of(name)
	for _, b := range beginnings {
		if rest, ok := strings.CutPrefix(name, b); ok {
			return types.UID(rest), uid.MatchString(rest)
		}
	}
	return "", false
}

// Decide says what of the streams that are kept, and of their readers, was made for objects that are not there. live are the UIDs of all
// objects that there were once the streams had been listed.
func Decide(kept map[model.StreamID][]model.ReaderID, live map[types.UID]bool) Plan {
	var p Plan
	for stream, readers := range kept {
		if of, known := madeFor(string(stream), streamsOf); known && !live[of] {
			p.Streams = append(p.Streams, stream)
			continue
		}
		for _, reader := range readers {
			if of, known := madeFor(string(reader), readersOf); known && !live[of] {
				p.Readers = append(p.Readers, Reading{stream, reader})
			}
		}
	}
	slices.Sort(p.Streams)
	slices.SortFunc(p.Readers, func(a, b Reading) int {
		return strings.Compare(string(a.Stream)+" "+string(a.Reader), string(b.Stream)+" "+string(b.Reader))
	})
	return p
}
