package config

import (
	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/crds/eventing"
	"ebb.dev/ebb/crds/serving"
)

// Set is all ConfigMaps as they were last accepted. It is immutable: With makes a new one.
type Set struct {
	Autoscaler     *autoscaling.Config
	Defaults       *Defaults
	Deployment     *Deployment
	Domain         *Domain
	Features       Features
	GC             *GC
	LeaderElection *LeaderElection
	Logging        *Logging
	Network        *Network
	Observability  *Observability

	// Eventing is those of namespace knative-eventing.
	Eventing *Eventing

	// ClusterDomain is the cluster's own domain, such as cluster.local.
	ClusterDomain string
}

// NewSet returns the Set of a cluster without ConfigMaps. clusterDomain is such as cluster.local.
func NewSet(clusterDomain string) *Set {
	s := &Set{ClusterDomain: clusterDomain, Eventing: newEventing()}
	for _, name := range Names() {
		next, _, err := s.With(name, nil)
		if err != nil {
			panic("config: the defaults of " + name + ": " + err.Error()) // compiled in: a test reads them
		}
		s = next
	}
	return s
}

// Names returns the names of the ConfigMaps of namespace knative-serving that a Set is made of.
func Names() []string {
	return []string{
		autoscaling.ConfigName, DefaultsName, DeploymentName, DomainName, FeaturesName, GCName, LeaderElectionName, LoggingName,
		NetworkName, ObservabilityName,
	}
}

// WithIn is With for a ConfigMap of either namespace, knative-serving or knative-eventing. Another namespace changes nothing.
func (s *Set) WithIn(namespace, name string, data map[string]string) (*Set, []string, error) {
	switch namespace {
	case serving.SystemNamespace:
		return s.With(name, data)
	case eventing.SystemNamespace:
		next, warnings, err := s.Eventing.with(name, data)
		if err != nil {
			return s, warnings, err
		}
		changed := *s
		changed.Eventing = next
		return &changed, warnings, nil
	}
	return s, nil, nil
}

// With returns s with the ConfigMap of that name in namespace knative-serving saying data; nil data is an absent ConfigMap. A name that is not known changes nothing.
// With an error s stays in force: the Set returned is s.
func (s *Set) With(name string, data map[string]string) (*Set, []string, error) {
	next := *s
	var warnings []string
	var err error
	switch name {
	case autoscaling.ConfigName:
		var parsed autoscaling.Config
		parsed, warnings, err = autoscaling.ParseConfig(data)
		next.Autoscaler = &parsed
	case DefaultsName:
		next.Defaults, warnings, err = ParseDefaults(data)
	case DeploymentName:
		next.Deployment, warnings, err = ParseDeployment(data)
	case DomainName:
		next.Domain, warnings, err = ParseDomain(data, s.ClusterDomain)
	case FeaturesName:
		next.Features, warnings, err = ParseFeatures(data)
	case GCName:
		next.GC, warnings, err = ParseGC(data)
	case LeaderElectionName:
		next.LeaderElection, warnings, err = ParseLeaderElection(data)
	case LoggingName:
		next.Logging, warnings, err = ParseLogging(data)
	case NetworkName:
		next.Network, warnings, err = ParseNetwork(data)
	case ObservabilityName:
		next.Observability, warnings, err = ParseObservability(data)
	}
	if err != nil {
		return s, warnings, err
	}
	return next.joined(), warnings, nil
}

// joined gives the autoscaler the one setting that another ConfigMap holds.
func (s *Set) joined() *Set {
	if s.Autoscaler == nil || s.Deployment == nil {
		return s
	}
	autoscaler := *s.Autoscaler
	autoscaler.ProgressDeadline = s.Deployment.ProgressDeadline
	s.Autoscaler = &autoscaler
	return s
}
