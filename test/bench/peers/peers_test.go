package peers

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
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
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	for range 2 { // the second time, the topic is there
		r, err := Produce(t.Context(), Kafka{Server: cluster.ListenAddrs()[0], Topic: "raw", Clients: 2, Bytes: 512, Duration: 50 * time.Millisecond})
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
