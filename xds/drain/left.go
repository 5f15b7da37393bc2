package drain

import (
	"sync"

	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// left is which replicas were drained and are left to the ReplicaSet to delete, by revision.
type left struct {
	mu   sync.Mutex
	pods map[model.Key]map[model.Key]struct{}
}

func (l *left) add(revision model.Key, pods []model.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.pods[revision]
	if all == nil {
		all = make(map[model.Key]struct{}, len(pods))
		l.pods[revision] = all
	}
	for _, pod := range pods {
		all[pod] = struct{}{}
	}
}

func (l *left) drop(revision model.Key, pods ...model.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, pod := range pods {
		delete(l.pods[revision], pod)
	}
	if len(l.pods[revision]) == 0 {
		delete(l.pods, revision)
	}
}

// spared takes out those that are going to stay. What is being deleted is the ReplicaSet's no more.
func (l *left) spared(revision model.Key, replicas func() []*store.Replica, wanted int) []model.Key {
	l.mu.Lock()
	defer l.mu.Unlock()
	drained := l.pods[revision]
	if len(drained) == 0 {
		return nil
	}
	stay, going := spared(replicas(), drained, wanted)
	if len(going) == 0 {
		delete(l.pods, revision)
	} else {
		l.pods[revision] = going
	}
	return stay
}

// spared decides which of the drained pods stay, and which are still to be deleted: as long as there are more than are wanted, any of them.
func spared(replicas []*store.Replica, drained map[model.Key]struct{}, wanted int) (stay []model.Key, going map[model.Key]struct{}) {
	there := 0
	for _, r := range replicas {
		if r.Terminating {
			continue
		}
		there++
		if _, ok := drained[r.Pod]; ok {
			stay = append(stay, r.Pod)
		}
	}
	if there <= wanted {
		return stay, nil
	}
	going = make(map[model.Key]struct{}, len(stay))
	for _, pod := range stay {
		going[pod] = struct{}{}
	}
	return nil, going
}

// Reinstate lets those replicas serve again that were drained and are not going to be deleted. wanted is how many the Deployment asks for now.
//
// A ReplicaSet deletes whom it likes: pods that are not ready go before those with a lower deletion cost, and so do pods that somebody gave one
// lower still; it may not have seen the cost yet; and it deletes nobody where as many are wanted again before it looked.
func (d *Drainer) Reinstate(revision model.Key, wanted int) {
	stay := d.left.spared(revision, func() []*store.Replica { return d.store.Read().ReplicasOf(revision) }, wanted)
	if len(stay) == 0 {
		return
	}
	d.mark(stay, false)
	for _, pod := range stay {
		d.log.Info("drained replica serves again: the ReplicaSet kept it", "pod", pod.String(), "revision", revision.String())
	}
}
