package drain

import (
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// leave leaves drained replicas to the ReplicaSet to delete.
func (d *Drainer) leave(pods []model.Key) {
	d.store.Write(func(tx *store.Tx) {
		for _, pod := range pods {
			tx.ChangeReplica(pod, func(r *store.Replica) { r.Left = true })
		}
	})
}

// kept returns which of a revision's replicas were left to the ReplicaSet and are not going to be deleted: as long as there are more than are
// wanted, any of them may be.
func kept(replicas []*store.Replica, wanted int) (out []model.Key) {
	there := 0
	for _, r := range replicas {
		if r.Terminating {
			continue
		}
		there++
		if r.Left {
			out = append(out, r.Pod)
		}
	}
	if there > wanted {
		return nil
	}
	return out
}

// Reinstate lets those replicas serve again that were drained and are not going to be deleted. wanted is how many the Deployment asks for now.
//
// A ReplicaSet deletes whom it likes: pods that are not ready go before those with a lower deletion cost, and so do pods that somebody gave one
// lower still; it may not have seen the cost yet; and it deletes nobody where as many are wanted again before it looked.
func (d *Drainer) Reinstate(revision model.Key, wanted int) {
	if len(kept(d.store.Read().ReplicasOf(revision), wanted)) == 0 {
		return
	}
	var pods []model.Key
	d.store.Write(func(tx *store.Tx) {
		// Another scale-down may have taken them on since.
		pods = kept(tx.ReplicasOf(revision), wanted)
		mark(tx, pods, false)
	})
	for _, pod := range pods {
		d.log.Info("drained replica serves again: the ReplicaSet kept it", "pod", pod.String(), "revision", revision.String())
	}
}
