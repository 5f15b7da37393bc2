package apiserver

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/model"
)

// Kind is that of the streams and readers of ApiServerSources.
const Kind model.Kind = "ApiServerSource"

// limits are those of a source's stream: what the sink has is not kept for long, for nobody looks back. An object may be larger than an event
// may usually be.
var limits = model.Limits{Age: 10 * time.Minute, Bytes: 16 << 20, Unread: 512 << 20, Event: 2 << 20, Dedupe: 2 * time.Minute}

// StreamOf is a source's stream.
func StreamOf(s *sourcesv1.ApiServerSource) model.Stream {
	return model.Stream{ID: model.StreamID("apiserversource." + s.UID), Kind: Kind, Key: nameOf(s), Limits: limits}
}

func nameOf(s *sourcesv1.ApiServerSource) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}

// delivery tries for about ten minutes; then an event goes to the reader's list of dead events, from which it can be sent again.
var delivery = model.Delivery{Retry: 27, Backoff: model.Exponential, Delay: 200 * time.Millisecond, Max: 30 * time.Second, Timeout: time.Minute}

// ReaderOf brings what a source tells to its sink, the events about one object in order. Annotations may say otherwise, as on a Trigger.
func ReaderOf(s *sourcesv1.ApiServerSource, sink destination.Found) (model.Reader, error) {
	r := model.Reader{
		ID: model.ReaderID("apiserversource." + s.UID), Kind: Kind, Key: nameOf(s), Stream: StreamOf(s).ID, Delivery: delivery, Ordered: true,
	}
	if sink.Err == nil {
		r.Subscriber = sink.Destination()
	}
	if s.Annotations[broker.OrderKey] == "unordered" {
		r.Ordered = false
	}
	if err := broker.Pace(&r, s.Annotations); err != nil {
		r.Paused = true
		return r, err
	}
	return r, nil
}

// Input is what the decision about a source's status is made of.
type Input struct {
	Source *sourcesv1.ApiServerSource
	Sink   destination.Found
	// Sender is as whom it sends.
	Sender identity.Sender
	// Host is the API server.
	Host string
	// Namespaces are those that are watched; one that is empty stands for all.
	Namespaces []string
	// Wrong is what cannot be done as the spec has it.
	Wrong error
	// Missing is what the ServiceAccount may not do.
	Missing []Lack
	// Stored is why events cannot be stored; nil if they can.
	Stored error
	// Synced says that everything that happens is told; Trouble, why not, if that is known.
	Synced  bool
	Trouble error
	Now     time.Time
}

// Decide returns a source's status.
func Decide(in Input) sourcesv1.ApiServerSourceStatus {
	s := in.Source
	out := *s.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = s.Generation
	marks.Initialize()
	in.Sender.State(marks, sourcesv1.ApiServerSourceConditionOIDCIdentityCreated, &out.Auth)
	out.Namespaces = in.Namespaces
	out.SinkURI, out.SinkCACerts, out.SinkAudience, out.CloudEventAttributes = nil, nil, nil, nil
	if in.Sink.Err != nil {
		reason, message := in.Sink.Explain("sink")
		marks.MarkFalse(sourcesv1.ApiServerSourceConditionSinkProvided, reason, message)
	} else {
		out.SinkURI, out.SinkCACerts, out.SinkAudience = &in.Sink.URL, in.Sink.CACerts, in.Sink.Audience
		out.CloudEventAttributes = attributes(s.Spec.EventMode == sourcesv1.ResourceMode, in.Host)
		marks.MarkTrue(sourcesv1.ApiServerSourceConditionSinkProvided)
	}
	switch {
	case len(in.Missing) > 0:
		marks.MarkFalse(sourcesv1.ApiServerSourceConditionSufficientPermissions, "InsufficientPermissions", explain(accountOf(s), in.Missing))
	case in.Wrong != nil:
		marks.MarkUnknown(sourcesv1.ApiServerSourceConditionSufficientPermissions, "NotAsked", "what is to be watched is not known")
	default:
		marks.MarkTrue(sourcesv1.ApiServerSourceConditionSufficientPermissions)
	}
	deployed := sourcesv1.ApiServerSourceConditionDeployed
	switch {
	case in.Wrong != nil:
		marks.MarkFalse(deployed, "BadSpec", in.Wrong.Error())
	case in.Stored != nil:
		marks.MarkFalse(deployed, "NotStored", in.Stored.Error())
	case len(in.Missing) > 0:
		marks.MarkUnknown(deployed, "InsufficientPermissions", "it begins to watch once its ServiceAccount may")
	case in.Synced:
		marks.MarkTrue(deployed)
	case in.Trouble != nil:
		marks.MarkFalse(deployed, "WatchFailed", troubled(in.Trouble))
	case in.Sink.Err != nil:
		marks.MarkUnknown(deployed, "SinkMissing", "it begins to watch once the sink has a URI")
	default:
		marks.MarkUnknown(deployed, "Starting", "the watches are beginning")
	}
	out.Status.KeepTransitionTimes(&s.Status.Status)
	return out
}

// accountOf is the ServiceAccount that has to be allowed to watch.
func accountOf(s *sourcesv1.ApiServerSource) types.NamespacedName {
	name := s.Spec.ServiceAccountName
	if name == "" {
		name = "default"
	}
	return types.NamespacedName{Namespace: s.Namespace, Name: name}
}

// unserved says which kinds the API server does not know.
type unserved []string

func (u unserved) Error() string {
	return fmt.Sprintf("spec.resources: the API server does not serve %s; correct apiVersion and kind, or install the kind", strings.Join(u, ", "))
}
