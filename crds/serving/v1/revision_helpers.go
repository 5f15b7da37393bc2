package v1

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"

	"ebb.dev/ebb/crds/networking"
	"ebb.dev/ebb/crds/serving"
)

// UserPortName is the name of the container port on Deployments and pods, whatever the user called it.
const UserPortName = "user-port"

// RoutingState says whether routes refer to a revision.
type RoutingState string

const (
	// RoutingStatePending is a new revision of which nothing is known yet. Collection treats it as active.
	RoutingStatePending RoutingState = "pending"
	// RoutingStateActive is a revision that a route refers to.
	RoutingStateActive RoutingState = "active"
	// RoutingStateReserve is a revision that no route refers to any more.
	RoutingStateReserve RoutingState = "reserve"
)

// UserContainer returns the container that serves: the only one, or the first with ports. Without containers it is an empty one.
func (s *RevisionSpec) UserContainer() *corev1.Container {
	if len(s.Containers) == 1 {
		return &s.Containers[0]
	}
	for i := range s.Containers {
		if len(s.Containers[i].Ports) != 0 {
			return &s.Containers[i]
		}
	}
	return &corev1.Container{}
}

// SidecarContainers returns the user's other containers: those without ports, if there are several.
func (s *RevisionSpec) SidecarContainers() []*corev1.Container {
	var sidecars []*corev1.Container
	for i := range s.Containers {
		if len(s.Containers) > 1 && len(s.Containers[i].Ports) == 0 {
			sidecars = append(sidecars, &s.Containers[i])
		}
	}
	return sidecars
}

// UserPort returns the container port that serves, in the app's PORT variable.
func (s *RevisionSpec) UserPort() int32 {
	if ports := s.UserContainer().Ports; len(ports) > 0 && ports[0].ContainerPort != 0 {
		return ports[0].ContainerPort
	}
	return networking.DefaultUserPort
}

// Protocol returns what the serving container speaks: h2c if its port is called so, HTTP/1.1 otherwise.
func (s *RevisionSpec) Protocol() networking.Protocol {
	if ports := s.UserContainer().Ports; len(ports) > 0 && ports[0].Name == string(networking.ProtocolH2C) {
		return networking.ProtocolH2C
	}
	return networking.ProtocolHTTP1
}

// Concurrency returns the requests a replica takes at once; 0 is no limit. A revision that does not say has no limit,
// whatever the cluster's default has become since.
func (s *RevisionSpec) Concurrency() int64 {
	if s.ContainerConcurrency == nil {
		return 0
	}
	return *s.ContainerConcurrency
}

// RoutingState returns what the revision's label says, "" if nothing.
func (r *Revision) RoutingState() RoutingState {
	return RoutingState(r.Labels[serving.RoutingStateLabelKey])
}

// RoutingStateModified returns when the label last changed, the zero time if unknown.
func (r *Revision) RoutingStateModified() time.Time {
	t, err := time.Parse(time.RFC3339, r.Annotations[serving.RoutingStateModifiedAnnotationKey])
	if err != nil {
		return time.Time{}
	}
	return t
}

// SetRoutingState writes the label, and the time beside it if the state is a new one. Labels and annotations are replaced, not edited.
func (r *Revision) SetRoutingState(state RoutingState, now time.Time) {
	if r.RoutingState() == state && r.Annotations[serving.RoutingStateModifiedAnnotationKey] != "" {
		return
	}
	r.Labels = with(r.Labels, serving.RoutingStateLabelKey, string(state))
	r.Annotations = with(r.Annotations, serving.RoutingStateModifiedAnnotationKey, now.UTC().Format(time.RFC3339))
}

func with(m map[string]string, key, value string) map[string]string {
	out := make(map[string]string, len(m)+1)
	maps.Copy(out, m)
	out[key] = value
	return out
}
