package log

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/extension"
)

// Identity stands for what tells an event apart from the others of a stream. Its seeds are this process's own, so that nobody can make two
// events collide.
type Identity [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

// IdentityOf is an event's: its source and id. One that came back into a Broker as a reply may have kept those of the event that it answers, and
// is another event for all that: its type tells it apart.
func IdentityOf(e *event.Event) Identity {
	parts := [3]string{e.ID(), e.Source()}
	if left, _ := extension.Hops(e); left < extension.FullTTL {
		parts[2] = e.Type()
	}
	var out Identity
	for i, seed := range seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		for _, part := range parts {
			var length [4]byte
			binary.BigEndian.PutUint32(length[:], uint32(len(part)))
			_, _ = h.Write(length[:])
			_, _ = h.WriteString(part)
		}
		out[i] = h.Sum64()
	}
	return out
}
