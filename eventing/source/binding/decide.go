package binding

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/identity"
)

// Finalizer keeps a SinkBinding until its workloads are as they were.
const Finalizer = "sinkbindings.sources.knative.dev"

// subjectAnnotation, in a status, is whom the SinkBinding told last, as JSON: if it names others now, the former are to be as they were.
const subjectAnnotation = "sources.ebb.dev/subject"

// Input is what the decision about a SinkBinding's status is made of.
type Input struct {
	Binding *sourcesv1.SinkBinding
	Sink    destination.Found
	// Sender is as whom its workloads send, Token where they find the token that proves it.
	Sender identity.Sender
	Token  Token
	// Missing is that the one workload it names is not there; Fixed are those that cannot be changed any more; Err is why the others were not
	// told.
	Missing bool
	Fixed   []string
	Err     error
	Now     time.Time
}

// Decide returns a SinkBinding's status.
func Decide(in Input) sourcesv1.SinkBindingStatus {
	b := in.Binding
	out := *b.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = b.Generation
	marks.Initialize()
	in.Sender.State(marks, sourcesv1.SinkBindingConditionOIDCIdentityCreated, &out.Auth)
	in.Token.state(marks, in, &out)
	out.SinkURI, out.SinkCACerts, out.SinkAudience = nil, nil, nil
	available := sourcesv1.SinkBindingConditionAvailable
	if in.Sink.Err != nil {
		reason, message := in.Sink.Explain("sink")
		marks.MarkFalse(sourcesv1.SinkBindingConditionSinkProvided, reason, message)
		marks.MarkUnknown(available, "SinkMissing", "subjects are told once the sink has a URI")
		out.Status.KeepTransitionTimes(&b.Status.Status)
		return out
	}
	out.SinkURI, out.SinkCACerts, out.SinkAudience = &in.Sink.URL, in.Sink.CACerts, in.Sink.Audience
	marks.MarkTrue(sourcesv1.SinkBindingConditionSinkProvided)
	subject := b.Spec.Subject
	switch {
	case in.Err != nil:
		marks.MarkFalse(available, "SubjectUnavailable", in.Err.Error())
	case in.Missing:
		marks.MarkFalse(available, "SubjectMissing", fmt.Sprintf("%s %s/%s does not exist; it is told as soon as it is made", subject.Kind, subject.Namespace, subject.Name))
	case len(in.Fixed) > 0 && subject.Name != "":
		marks.MarkFalse(available, "SubjectImmutable", fmt.Sprintf("%s %s/%s was made before this SinkBinding and cannot be changed; make it again", subject.Kind, subject.Namespace, subject.Name))
	default:
		marks.MarkTrue(available)
	}
	remember(&out, subject)
	out.Status.KeepTransitionTimes(&b.Status.Status)
	return out
}

func remember(s *sourcesv1.SinkBindingStatus, subject duck.Subject) {
	data, err := json.Marshal(subject)
	if err != nil {
		return // strings and maps of them
	}
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	s.Annotations[subjectAnnotation] = string(data)
}

// former is whom a SinkBinding told last, if that is not whom it names now.
func former(b *sourcesv1.SinkBinding) (duck.Subject, bool) {
	var old duck.Subject
	text := b.Status.Annotations[subjectAnnotation]
	if text == "" || json.Unmarshal([]byte(text), &old) != nil {
		return old, false
	}
	now, err := json.Marshal(b.Spec.Subject)
	return old, err == nil && string(now) != text
}

// contractOf is what a SinkBinding tells.
func contractOf(b *sourcesv1.SinkBinding, sink destination.Found, token Token) Contract {
	return Contract{Sink: sink.URL, Roots: sink.CACerts, Overrides: b.Spec.CloudEventOverrides, Token: token.Secret}
}

// kindOf is the kind of a subject.
func kindOf(s duck.Subject) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(s.APIVersion, s.Kind)
}

// names reports whether a subject names an object of its kind and namespace.
func names(s duck.Subject, name string, has map[string]string) bool {
	if s.Name != "" {
		return s.Name == name
	}
	selector, err := metav1.LabelSelectorAsSelector(s.Selector)
	return err == nil && selector.Matches(labels.Set(has))
}

// fixed reports whether the template of a kind's pods stays as it was made.
func fixed(kind schema.GroupKind) bool { return kind == schema.GroupKind{Group: "batch", Kind: "Job"} }

// firstOf is the name of another SinkBinding that names an object too and came first; "" if there is none. Two that told one workload of
// different sinks would never come to rest.
func firstOf(all []sourcesv1.SinkBinding, b *sourcesv1.SinkBinding, o client.Object) string {
	for i := range all {
		other := &all[i]
		if other.UID == b.UID || other.DeletionTimestamp != nil || kindOf(other.Spec.Subject).GroupKind() != kindOf(b.Spec.Subject).GroupKind() {
			continue
		}
		earlier := cmp.Or(other.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(other.Name, b.Name)) < 0
		if earlier && names(other.Spec.Subject, o.GetName(), o.GetLabels()) {
			return other.Name
		}
	}
	return ""
}
