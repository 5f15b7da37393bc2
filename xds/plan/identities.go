package plan

import (
	"time"

	"ebb.dev/ebb/xds/model"
)

// keepIdentity is how long a node proxy holds the certificate of a workload that it has no replica of: as long as its agent does.
const keepIdentity = 10 * time.Minute

// identities are the workloads, by service account, that a node proxy has or had replicas of.
type identities map[model.Key]*identity

type identity struct {
	replicas int
	// held says that the proxy is to hold the certificate.
	held bool
	// idle is since when there are no replicas.
	idle time.Time
}

// add counts a replica.
func (i identities) add(account model.Key) {
	if i[account] == nil {
		i[account] = &identity{}
	}
	i[account].replicas++
}

// hold begins to hold the certificate of an account whose replicas were added, and reports whether it was not held before. The proxy must have
// it: one that begins waits for all that it is to hold.
func (i identities) hold(account model.Key) bool {
	one := i[account]
	if one == nil || one.held {
		return false
	}
	one.held = true
	return true
}

// remove ends what add counted.
func (i identities) remove(account model.Key, now time.Time) {
	one := i[account]
	if one == nil {
		return
	}
	if one.replicas--; one.replicas > 0 {
		return
	}
	if one.idle = now; !one.held {
		delete(i, account)
	}
}

// expire ends the holding for those that have had no replica for too long.
func (i identities) expire(now time.Time) (gone []model.Key) {
	for account, one := range i {
		if one.replicas == 0 && now.Sub(one.idle) >= keepIdentity {
			gone = append(gone, account)
			delete(i, account)
		}
	}
	return gone
}

// restart ends the holding where the proxy, which begins anew, has nothing any more.
func (i identities) restart(has func(account model.Key) bool) (gone []model.Key) {
	for account, one := range i {
		if !one.held || has(account) {
			continue
		}
		gone = append(gone, account)
		if one.held = false; one.replicas == 0 {
			delete(i, account)
		}
	}
	return gone
}
