package requestreply

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log/placed"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/fakekafka"
)

func TestRepliesAreFoundInAllPartitionsOfATopic(t *testing.T) {
	at := fakekafka.At(t)
	r := startOn(t, func(l *placed.Log, id model.StreamID) {
		l.Place(id, placed.Place{Cluster: at, Topic: topic.Topic{Name: "topic", Partitions: 3}})
	})
	r.subscribe()
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			id := fmt.Sprint("q", i)
			if got := r.ask(id, "?"); got.code != http.StatusOK || got.body != "answer to "+id {
				t.Errorf("%s: %+v", id, got)
			}
		})
	}
	group.Wait()
	// Sent again, their replies are behind: in whichever partition.
	r.restart(r.handler.Waiting.Options)
	for i := range 5 {
		id := fmt.Sprint("q", i)
		if got := r.ask(id, "?"); got.code != http.StatusOK || got.body != "answer to "+id {
			t.Errorf("%s again: %+v", id, got)
		}
	}
}
