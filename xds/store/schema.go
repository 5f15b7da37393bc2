package store

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-memdb"

	"ebb.dev/ebb/xds/model"
)

const (
	vhosts    = "vhost"
	claims    = "claim"
	revisions = "revision"
	replicas  = "replica"
	services  = "service"
)

// Replica is a pod of a revision and how far it has come.
type Replica struct {
	model.Replica
	// Node is where the pod is bound.
	Node string
	// Answers is set by HDS, or by the pod's own Ready: the app answers its probe.
	Answers bool
	// PodReady is the pod's own Ready as last seen; WasReady that it was so once, after which it alone speaks.
	PodReady, WasReady bool
	// Started is when its containers were started, zero while they were not; Restarts is how often they were again.
	Started  time.Time
	Restarts int32
	// Failing is why it cannot come up, empty while it may.
	Failing string
	// Programmed is set when the replica's proxy has accepted its cluster and its listener, Listening when that listener
	// accepts connections: a listener warms on its certificate after it was accepted.
	Programmed, Listening bool
	// Draining is set by a drainer: no new requests.
	Draining bool
	// Left is set by a drainer that left it, drained, to the ReplicaSet to delete, which may keep it.
	Left bool
	// Terminating is set when the pod is being deleted.
	Terminating bool
}

// Ready reports whether the replica takes requests.
func (r *Replica) Ready() bool {
	return r.Answers && r.Programmed && r.Listening && !r.Draining && !r.Terminating
}

// Starting reports whether the replica may become ready.
func (r *Replica) Starting() bool {
	return !(r.Answers && r.Listening) && !r.Draining && !r.Terminating
}

// AskApp reports whether Envoy is to find out when the app answers, and from when on; after is zero while that is not
// known yet.
func (r *Replica) AskApp() (ask bool, after time.Time) {
	probe := r.Revision.Probe
	if r.Answers || r.WasReady || probe == nil {
		return false, time.Time{}
	}
	if probe.InitialDelay == 0 {
		return true, time.Unix(0, 0)
	}
	if r.Started.IsZero() {
		return true, time.Time{}
	}
	return true, r.Started.Add(probe.InitialDelay)
}

// Revision is a revision and what the autoscaler does with it.
type Revision struct {
	model.Revision
	// Asleep makes gateways hold requests although there may still be replicas.
	Asleep bool
	// AlwaysHeld sends every request by the hold: target-burst-capacity -1.
	AlwaysHeld bool
}

// Service is a plain Kubernetes Service port and its addresses.
type Service struct {
	Cluster   model.Cluster
	Endpoints model.Endpoints
}

// row wraps what is stored with its primary key as a string, which is what memdb indexes best.
type row[T any] struct {
	ID    string
	Value T
	// Refs are further index values: clusters of a vhost, domains, the revision or proxy of a replica.
	Refs map[string][]string
}

// refIndexer indexes rows by one kind of Refs.
type refIndexer struct{ kind string }

type refs interface{ refsOf(kind string) []string }

func (r *row[T]) refsOf(kind string) []string { return r.Refs[kind] }

// FromObject implements memdb.MultiIndexer.
func (x refIndexer) FromObject(raw any) (bool, [][]byte, error) {
	object, ok := raw.(refs)
	if !ok {
		return false, nil, fmt.Errorf("%T is not a row", raw)
	}
	values := object.refsOf(x.kind)
	out := make([][]byte, 0, len(values))
	for _, value := range values {
		out = append(out, []byte(value+"\x00"))
	}
	return len(out) > 0, out, nil
}

// FromArgs implements memdb.Indexer.
func (x refIndexer) FromArgs(args ...any) ([]byte, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("one argument expected, got %d", len(args))
	}
	value, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("%T is not a string", args[0])
	}
	return []byte(value + "\x00"), nil
}

func table(name string, kinds ...string) *memdb.TableSchema {
	schema := &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{
		"id": {Name: "id", Unique: true, Indexer: &memdb.StringFieldIndex{Field: "ID"}},
	}}
	for _, kind := range kinds {
		schema.Indexes[kind] = &memdb.IndexSchema{Name: kind, AllowMissing: true, Indexer: refIndexer{kind}}
	}
	return schema
}

func newDB() *memdb.MemDB {
	db, err := memdb.NewMemDB(&memdb.DBSchema{Tables: map[string]*memdb.TableSchema{
		vhosts:    table(vhosts, "owner", "cluster", "domain"),
		claims:    table(claims, "domain"),
		revisions: table(revisions),
		replicas:  table(replicas, "revision", "proxy", "node", "served"),
		services:  table(services),
	}})
	if err != nil {
		panic(err) // the schema above is a constant
	}
	return db
}
