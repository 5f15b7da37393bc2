package peers

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ebb.dev/ebb/test/fakekafka"
)

func TestJetStreamAcknowledgesInBothModesAndLeavesNothing(t *testing.T) {
	for _, relaxed := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "store")
		r, err := Publish(t.Context(), JetStream{Dir: dir, Relaxed: relaxed, Clients: 2, Bytes: 512, Duration: 50 * time.Millisecond})
		if err != nil || r.Errors != 0 || r.Requests == 0 || r.Latency.Total != r.Requests {
			t.Errorf("relaxed %t: %v, %d acknowledged, %d errors (%s)", relaxed, err, r.Requests, r.Errors, r.FirstError)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("the store is left: %v", err)
		}
	}
}

func TestKafkaAcknowledges(t *testing.T) {
	server := fakekafka.At(t).Servers[0]
	for range 2 { // the second time, the topic is there
		r, err := Produce(t.Context(), Kafka{Server: server, Topic: "raw", Clients: 2, Bytes: 512, Duration: 50 * time.Millisecond})
		if err != nil || r.Errors != 0 || r.Requests == 0 {
			t.Errorf("%v, %d acknowledged, %d errors (%s)", err, r.Requests, r.Errors, r.FirstError)
		}
	}
}

func TestWhatStoresNothingReadsAndAccepts(t *testing.T) {
	w := httptest.NewRecorder()
	body := strings.NewReader(strings.Repeat("x", 512))
	storeNothing(w, httptest.NewRequest(http.MethodPost, "/", body))
	if w.Code != http.StatusAccepted || body.Len() != 0 {
		t.Errorf("%d, %d bytes are not read", w.Code, body.Len())
	}
}

func TestABacklogIsPostedAndCommitted(t *testing.T) {
	server := fakekafka.At(t).Servers[0]
	var taken atomic.Int64
	subscriber := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "subscriber" && r.Header.Get("Ce-Id") != "" && r.ContentLength == 64 {
			taken.Add(1)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer subscriber.Close()
	b := Backlog{Server: server, Topic: "backlog", Records: 500, Bytes: 64, Type: "wanted"}
	if err := b.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lag, err := Lag(t.Context(), server, "group", b.Topic); err != nil || lag != 500 {
		t.Fatalf("a lag of %d, %v", lag, err)
	}
	d, err := Consume(t.Context(), Drain{
		Server: server, Topic: b.Topic, Group: "group", Records: 500, Address: subscriber.Listener.Addr().String(), Host: "subscriber", AtOnce: 1,
	})
	if err != nil || d.Posted != 500 || d.Refused != 0 || taken.Load() != 500 {
		t.Errorf("%+v, %v, %d were taken", d, err, taken.Load())
	}
	if lag, err := Lag(t.Context(), server, "group", b.Topic); err != nil || lag != 0 {
		t.Errorf("left: a lag of %d, %v", lag, err)
	}
}
