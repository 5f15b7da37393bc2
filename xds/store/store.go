package store

import (
	"sync"

	"github.com/hashicorp/go-memdb"

	"ebb.dev/ebb/xds/model"
)

// Touched lists the keys that one write changed.
type Touched struct {
	// VHosts are resource names of virtual hosts.
	VHosts map[string]struct{}
	// Revisions are those whose spec, flags or replicas changed.
	Revisions map[model.Key]struct{}
	// Replicas are the pods that changed.
	Replicas map[model.Key]struct{}
	// Proxies are replica proxies whose replicas changed.
	Proxies map[string]struct{}
	// Services are cluster names of plain services.
	Services map[string]struct{}
}

func newTouched() *Touched {
	return &Touched{
		VHosts: map[string]struct{}{}, Revisions: map[model.Key]struct{}{},
		Replicas: map[model.Key]struct{}{}, Proxies: map[string]struct{}{}, Services: map[string]struct{}{},
	}
}

// Empty reports whether nothing changed.
func (t *Touched) Empty() bool {
	return len(t.VHosts) == 0 && len(t.Revisions) == 0 && len(t.Proxies) == 0 && len(t.Services) == 0
}

// Store is the world. Writers are serialised; subscribers are called after each write, in its goroutine, in the order of
// their subscription, so that a change is on the wire when the write returns.
type Store struct {
	db *memdb.MemDB
	// notify keeps subscribers' calls in the order of the writes.
	notify      sync.Mutex
	subscribers []func(*Touched)
}

// New makes an empty store.
func New() *Store { return &Store{db: newDB()} }

// Subscribe makes f be told every change. It must be called before the first write. f may read the store but not write it.
func (s *Store) Subscribe(f func(*Touched)) { s.subscribers = append(s.subscribers, f) }

// Write runs f in a transaction, commits it and tells the subscribers what changed.
func (s *Store) Write(f func(*Tx)) {
	s.notify.Lock()
	defer s.notify.Unlock()
	txn := s.db.Txn(true)
	// Nothing after a commit; a panic that somebody recovers must not leave the store locked.
	defer txn.Abort()
	tx := &Tx{View: View{txn}, touched: newTouched()}
	f(tx)
	txn.Commit()
	if tx.touched.Empty() {
		return
	}
	for _, subscriber := range s.subscribers {
		subscriber(tx.touched)
	}
}

// Read returns the world as it is now.
func (s *Store) Read() View { return View{s.db.Txn(false)} }

// View is an immutable snapshot.
type View struct{ txn *memdb.Txn }

func first[T any](v View, table, id string) (T, bool) {
	raw, err := v.txn.First(table, "id", id)
	if err != nil || raw == nil {
		var zero T
		return zero, false
	}
	return raw.(*row[T]).Value, true
}

func list[T any](v View, table, index string, args ...any) []T {
	iterator, err := v.txn.Get(table, index, args...)
	if err != nil {
		panic(err) // an index name or argument of ours is wrong
	}
	var out []T
	for raw := iterator.Next(); raw != nil; raw = iterator.Next() {
		out = append(out, raw.(*row[T]).Value)
	}
	return out
}

// VHost returns a virtual host by resource name.
func (v View) VHost(name string) (*model.VHost, bool) { return first[*model.VHost](v, vhosts, name) }

// VHostByDomain returns the virtual host that serves a host name in a route configuration.
func (v View) VHostByDomain(config model.RouteConfig, domain string) (*model.VHost, bool) {
	found := list[*model.VHost](v, vhosts, "domain", model.VHostName(config, domain))
	if len(found) == 0 {
		return nil, false
	}
	return found[0], true
}

// VHosts lists all virtual hosts.
func (v View) VHosts() []*model.VHost { return list[*model.VHost](v, vhosts, "id") }

// VHostsOf lists the virtual hosts made from one object.
func (v View) VHostsOf(owner model.Owner) []*model.VHost {
	return list[*model.VHost](v, vhosts, "owner", owner.String())
}

// VHostsUsing lists the virtual hosts that route to a cluster.
func (v View) VHostsUsing(cluster string) []*model.VHost {
	return list[*model.VHost](v, vhosts, "cluster", cluster)
}

// Revision returns a revision.
func (v View) Revision(key model.Key) (*Revision, bool) {
	return first[*Revision](v, revisions, key.String())
}

// Revisions lists all revisions.
func (v View) Revisions() []*Revision { return list[*Revision](v, revisions, "id") }

// Replica returns a replica by its pod.
func (v View) Replica(pod model.Key) (*Replica, bool) {
	return first[*Replica](v, replicas, pod.String())
}

// Replicas lists all replicas.
func (v View) Replicas() []*Replica { return list[*Replica](v, replicas, "id") }

// ReplicasOf lists a revision's replicas, by pod name.
func (v View) ReplicasOf(revision model.Key) []*Replica {
	return list[*Replica](v, replicas, "revision", revision.String())
}

// ReplicasAt lists the replicas that a proxy serves, by pod name.
func (v View) ReplicasAt(proxy string) []*Replica { return list[*Replica](v, replicas, "proxy", proxy) }

// ReplicasOn lists the replicas bound to a node.
func (v View) ReplicasOn(node string) []*Replica { return list[*Replica](v, replicas, "node", node) }

// Service returns a plain service by its cluster name.
func (v View) Service(cluster string) (*Service, bool) { return first[*Service](v, services, cluster) }

// Services lists the plain services.
func (v View) Services() []*Service { return list[*Service](v, services, "id") }
