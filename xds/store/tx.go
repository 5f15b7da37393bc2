package store

import (
	"reflect"
	"slices"

	"ebb.dev/ebb/xds/model"
)

// Tx is a write under way. It reads its own writes.
type Tx struct {
	View
	touched *Touched
}

func (tx *Tx) put(table string, object any) {
	if err := tx.txn.Insert(table, object); err != nil {
		panic(err) // the schema does not fit a row of ours
	}
}

func (tx *Tx) drop(table, id string) bool {
	n, err := tx.txn.DeleteAll(table, "id", id)
	if err != nil {
		panic(err)
	}
	return n > 0
}

// SetRevision puts a revision's spec and keeps its flags.
func (tx *Tx) SetRevision(spec model.Revision) {
	next := &Revision{Revision: spec}
	if old, ok := tx.Revision(spec.Key); ok {
		if reflect.DeepEqual(old.Revision, spec) {
			return
		}
		next.Asleep, next.AlwaysHeld = old.Asleep, old.AlwaysHeld
	}
	tx.putRevision(next)
	// Replicas carry a copy of their revision, so that a proxy's configuration is made from one row.
	for _, replica := range tx.ReplicasOf(spec.Key) {
		changed := *replica
		changed.Revision = spec
		tx.SetReplica(&changed)
	}
}

func (tx *Tx) putRevision(r *Revision) {
	tx.put(revisions, &row[*Revision]{ID: r.Key.String(), Value: r})
	tx.touched.Revisions[r.Key] = struct{}{}
}

// DeleteRevision removes a revision.
func (tx *Tx) DeleteRevision(key model.Key) {
	if tx.drop(revisions, key.String()) {
		tx.touched.Revisions[key] = struct{}{}
	}
}

// SetAsleep sets or clears a revision's Asleep.
func (tx *Tx) SetAsleep(key model.Key, asleep bool) {
	if old, ok := tx.Revision(key); ok && old.Asleep != asleep {
		next := *old
		next.Asleep = asleep
		tx.putRevision(&next)
	}
}

// SetAlwaysHeld sets or clears a revision's AlwaysHeld.
func (tx *Tx) SetAlwaysHeld(key model.Key, held bool) {
	if old, ok := tx.Revision(key); ok && old.AlwaysHeld != held {
		next := *old
		next.AlwaysHeld = held
		tx.putRevision(&next)
	}
}

// SetReplica puts a replica.
func (tx *Tx) SetReplica(r *Replica) {
	if old, ok := tx.Replica(r.Pod); ok {
		if reflect.DeepEqual(old, r) {
			return
		}
		tx.touchReplica(old)
	}
	tx.put(replicas, &row[*Replica]{ID: r.Pod.String(), Value: r, Refs: map[string][]string{
		"revision": {r.Revision.Key.String()}, "proxy": {r.Proxy}, "node": {r.Node}, "served": {model.NodeOf(r.Proxy)},
	}})
	tx.touchReplica(r)
}

func (tx *Tx) touchReplica(r *Replica) {
	tx.touched.Revisions[r.Revision.Key] = struct{}{}
	tx.touched.Replicas[r.Pod] = struct{}{}
	if r.Proxy != "" {
		tx.touched.Proxies[r.Proxy] = struct{}{}
	}
}

// ChangeReplica applies f to a copy of a replica, if it is known.
func (tx *Tx) ChangeReplica(pod model.Key, f func(*Replica)) bool {
	old, ok := tx.Replica(pod)
	if !ok {
		return false
	}
	next := *old
	f(&next)
	tx.SetReplica(&next)
	return true
}

// Taken returns which ports of a node's proxies serve a replica.
func (tx *Tx) Taken(node string) func(port uint32) bool {
	return func(port uint32) bool {
		return slices.ContainsFunc(list[*Replica](tx.View, replicas, "served", node), func(r *Replica) bool { return r.Listen.Port == port })
	}
}

// DeleteReplica removes a replica.
func (tx *Tx) DeleteReplica(pod model.Key) {
	if old, ok := tx.Replica(pod); ok {
		tx.drop(replicas, pod.String())
		tx.touchReplica(old)
	}
}

// SetService puts a plain service.
func (tx *Tx) SetService(s *Service) {
	if old, ok := tx.Service(s.Cluster.Name); ok && reflect.DeepEqual(old, s) {
		return
	}
	tx.put(services, &row[*Service]{ID: s.Cluster.Name, Value: s})
	tx.touched.Services[s.Cluster.Name] = struct{}{}
}

// DeleteService removes a plain service.
func (tx *Tx) DeleteService(cluster string) {
	if tx.drop(services, cluster) {
		tx.touched.Services[cluster] = struct{}{}
	}
}
