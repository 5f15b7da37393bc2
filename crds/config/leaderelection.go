package config

import (
	"strings"
	"time"
)

// LeaderElectionName is the ConfigMap that ParseLeaderElection reads.
const LeaderElectionName = "config-leader-election"

// maxBuckets is the most shards that the work can be split into.
const maxBuckets = 10

// LeaderElection is what config-leader-election says. Treat it as immutable.
type LeaderElection struct {
	// Buckets are the shards that the work is split into, each with a leader of its own: 1 to 10.
	Buckets int64
	// LeaseDuration is how long others wait for a silent leader, RenewDeadline how long a leader tries to renew before it gives up,
	// and RetryPeriod the time between tries.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
	// LeaseNames maps prefixes of lease names to what to write instead.
	LeaseNames map[string]string
}

// ParseLeaderElection reads the data of config-leader-election.
func ParseLeaderElection(data map[string]string) (*LeaderElection, []string, error) {
	r := read(LeaderElectionName, data)
	l := &LeaderElection{
		Buckets:       1,
		LeaseDuration: 60 * time.Second,
		RenewDeadline: 40 * time.Second,
		RetryPeriod:   10 * time.Second,
		LeaseNames:    map[string]string{},
	}
	r.whole(&l.Buckets, "buckets")
	r.duration(&l.LeaseDuration, "lease-duration", "leaseDuration")
	r.duration(&l.RenewDeadline, "renew-deadline", "renewDeadline")
	r.duration(&l.RetryPeriod, "retry-period", "retryPeriod")
	for key := range data {
		if prefix, ok := strings.CutPrefix(key, "map-lease-prefix."); ok && prefix != "" {
			l.LeaseNames[prefix], _ = r.value(key)
		}
	}
	if l.Buckets < 1 || l.Buckets > maxBuckets {
		r.fail("buckets", "%d must be from 1 to %d", l.Buckets, maxBuckets)
	}
	if l.RetryPeriod <= 0 {
		r.fail("retry-period", "%v must be more than 0s", l.RetryPeriod)
	}
	if l.RenewDeadline*10 <= l.RetryPeriod*12 { // tries are spread over 1.2 periods
		r.fail("renew-deadline", "%v must be more than 1.2 times retry-period (%v)", l.RenewDeadline, l.RetryPeriod)
	}
	if l.LeaseDuration <= l.RenewDeadline {
		r.fail("lease-duration", "%v must be more than renew-deadline (%v)", l.LeaseDuration, l.RenewDeadline)
	}
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return l, warnings, nil
}
