package fakekafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"ebb.dev/ebb/eventing/kafka/cluster"
)

// Start starts an imitation that ends with the test.
func Start(t testing.TB, options ...kfake.Opt) (*kfake.Cluster, cluster.Cluster) {
	t.Helper()
	k, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k, cluster.Cluster{Servers: k.ListenAddrs()}
}

// At starts an imitation of which only the address is needed.
func At(t testing.TB, options ...kfake.Opt) cluster.Cluster {
	t.Helper()
	_, at := Start(t, options...)
	return at
}
