package broker

import (
	"errors"
	"fmt"
	"net/http"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"

	"ebb.dev/ebb/crds/config"
	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/eventtype"
	"ebb.dev/ebb/eventing/handed"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/sink/job"
	"ebb.dev/ebb/eventing/source/apiserver"
	"ebb.dev/ebb/eventing/source/binding"
	"ebb.dev/ebb/eventing/source/container"
)

// sources adds the controllers of what sends events from the cluster itself, and of JobSinks.
func (p *process) sources(resolver *destination.Resolver, events handed.Plane) error {
	c := p.manager.GetClient()
	whole, err := dynamic.NewForConfig(p.config)
	if err != nil {
		return fmt.Errorf("watch for ApiServerSources: %w", err)
	}
	data, err := metadata.NewForConfig(p.config)
	if err != nil {
		return fmt.Errorf("watch for ApiServerSources: %w", err)
	}
	changes := &apiserver.Reconciler{
		Client: c, Mapper: p.manager.GetRESTMapper(), Resolver: resolver, Exposer: p.reach, Handed: handed.New(events), Accounts: p.accounts, Host: p.config.Host, Clock: clock.RealClock{},
		Adapter: &apiserver.Adapter{
			Watches: &apiserver.Watches{Whole: whole, Metadata: data, Log: p.Log}, Accept: p.ingress.Accept, Clock: clock.RealClock{}, Log: p.Log,
		},
	}
	bindings := &binding.Reconciler{Client: c, Resolver: resolver, Exposer: p.reach, Accounts: p.accounts, Tokens: p.tokens, Clock: clock.RealClock{}, Log: p.Log}
	containers := &container.Reconciler{Client: c, Reader: p.manager.GetAPIReader(), Clock: clock.RealClock{}}
	types := &eventtype.Reconciler{Client: c, Resolver: resolver, Enabled: p.notes.Enabled, Clock: clock.RealClock{}}
	creator := &eventtype.Creator{Client: c, Notes: p.notes, Stream: p.streams.Stream, Clock: clock.RealClock{}, Log: p.Log}
	p.hosts(job.Host, &sinksv1alpha1.JobSink{}, job.NewHandler(c, p.manager.GetAPIReader(), p.Log))
	jobs := &job.Reconciler{Client: c, Exposer: p.reach, Policies: p.policies, ClusterDomain: p.ClusterDomain, Clock: clock.RealClock{}}
	policies := &policy.Reconciler{Client: c, Resolver: resolver, Features: p.features.get, Changes: p.features.changes, Clock: clock.RealClock{}}
	return errors.Join(policies.Setup(p.manager), changes.Setup(p.manager), bindings.Setup(p.manager), containers.Setup(p.manager), jobs.Setup(p.manager),
		types.Setup(p.manager), p.manager.Add(creator))
}

// noting is a log whose events become known by EventTypes, if the feature is on.
func (p *process) noting(l log.Log) log.Log {
	p.notes = eventtype.NewNotes(p.features.enabled(config.EventTypeAutoCreate))
	return p.notes.Noting(l)
}

// first answers with one handler what it takes, and with the other all else.
func first(takes func(*http.Request) bool, one, other http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if takes(r) {
			one.ServeHTTP(w, r)
			return
		}
		other.ServeHTTP(w, r)
	})
}
