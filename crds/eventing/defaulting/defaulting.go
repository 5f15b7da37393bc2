package defaulting

import (
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
)

// Input is what decides the defaults beside the object itself.
type Input struct {
	Config *config.Eventing
}

// Sign notes who created the object and who last changed its spec, in annotations of its API group. old is nil for a new object;
// user is who asks, "" leaves the annotations alone.
func Sign(meta, old *metav1.ObjectMeta, oldSpec, spec any, group, user string) {
	creator, modifier := group+"/creator", group+"/lastModifier"
	if old != nil {
		for _, key := range []string{creator, modifier} {
			was, signed := old.Annotations[key]
			if _, kept := meta.Annotations[key]; signed && !kept { // whoever replaces an object by a file does not know its signatures
				annotate(meta, key, was)
			}
		}
	}
	switch {
	case user == "":
	case old == nil:
		annotate(meta, creator, user)
		annotate(meta, modifier, user)
	case !equality.Semantic.DeepEqual(oldSpec, spec):
		annotate(meta, modifier, user)
	}
}

func annotate(meta *metav1.ObjectMeta, key, value string) {
	if meta.Annotations == nil {
		meta.Annotations = map[string]string{}
	}
	meta.Annotations[key] = value
}

func label(meta *metav1.ObjectMeta, key, value string) {
	if meta.Labels == nil {
		meta.Labels = map[string]string{}
	}
	meta.Labels[key] = value
}

// destination completes where events go: a reference that names no namespace means the object's own.
func destination(d *duck.Destination, namespace string) {
	if d != nil && d.Ref != nil && d.Ref.Namespace == "" {
		d.Ref.Namespace = namespace
	}
}

func delivery(d *duck.DeliverySpec, namespace string) {
	if d != nil {
		destination(d.DeadLetterSink, namespace)
	}
}

// subscribable marks a channel with the version of what it has for subscribers.
func subscribable(meta *metav1.ObjectMeta) {
	if _, marked := meta.Annotations[eventing.SubscribableAnnotationKey]; !marked {
		annotate(meta, eventing.SubscribableAnnotationKey, eventing.SubscribableVersion)
	}
}

// channelTemplate fills in a template that is missing: as it was, or else as default-ch-webhook says.
func channelTemplate(t **duck.ChannelTemplateSpec, old *duck.ChannelTemplateSpec, namespace string, in Input) {
	if *t != nil {
		return
	}
	if old != nil {
		*t = old.DeepCopy()
		return
	}
	found, ok := in.Config.ChannelDefaults.Template(namespace)
	if !ok {
		return
	}
	*t = &duck.ChannelTemplateSpec{TypeMeta: metav1.TypeMeta{APIVersion: found.APIVersion, Kind: found.Kind}}
	if len(found.Spec) > 0 {
		(*t).Spec = &runtime.RawExtension{Raw: append([]byte(nil), found.Spec...)}
	}
}
