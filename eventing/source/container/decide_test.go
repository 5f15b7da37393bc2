package container

import (
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/source/binding"
)

var noon = metav1.NewTime(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))

func beat() *sourcesv1.ContainerSource {
	s := &sourcesv1.ContainerSource{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "beat", UID: "u", Generation: 2}}
	s.Spec.Sink = duck.Destination{Ref: &duck.KReference{APIVersion: "v1", Kind: "Service", Name: "sink"}}
	s.Spec.CloudEventOverrides = &duck.CloudEventOverrides{Extensions: map[string]string{"a": "b"}}
	s.Spec.Template.Labels = map[string]string{"app": "beat"}
	s.Spec.Template.Spec.Containers = []corev1.Container{{Name: "beat-0", Image: "i", Env: []corev1.EnvVar{{Name: "PERIOD", Value: "1"}}}}
	return s
}

func TestChildrenAreAsKnatives(t *testing.T) {
	s := beat()
	b := BindingOf(s)
	want := duck.Subject{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "beat-deployment"}
	if b.Name != "beat-sinkbinding" || b.Spec.Subject.Name != want.Name || b.Spec.Subject.Kind != want.Kind || b.Spec.Subject.Namespace != "shop" ||
		b.Spec.Sink.Ref.Namespace != "shop" || b.Spec.CloudEventOverrides.Extensions["a"] != "b" || !metav1.IsControlledBy(b, s) {
		t.Errorf("%+v", b)
	}
	d, err := DeploymentOf(s, binding.Contract{Sink: "http://sink", Overrides: s.Spec.CloudEventOverrides})
	if err != nil {
		t.Fatal(err)
	}
	labels := d.Spec.Template.Labels
	if d.Name != "beat-deployment" || labels["app"] != "beat" || labels["sources.knative.dev/containerSource"] != "beat" || !metav1.IsControlledBy(d, s) {
		t.Errorf("%+v", d)
	}
	for name, value := range d.Spec.Selector.MatchLabels {
		if labels[name] != value {
			t.Errorf("selector %v, labels %v", d.Spec.Selector, labels)
		}
	}
	var env []string
	for _, e := range d.Spec.Template.Spec.Containers[0].Env {
		env = append(env, e.Name+"="+e.Value)
	}
	if got := strings.Join(env, " "); got != `PERIOD=1 K_SINK=http://sink K_CE_OVERRIDES={"extensions":{"a":"b"}}` {
		t.Errorf("env %s", got)
	}
	if len(s.Spec.Template.Labels) != 1 || len(s.Spec.Template.Spec.Containers[0].Env) != 1 {
		t.Error("the source was changed")
	}
}

func TestLongNamesAreCutAndStayApart(t *testing.T) {
	a, b := child(strings.Repeat("a", 63), "-deployment"), child(strings.Repeat("a", 62)+"b", "-deployment")
	if len(a) != longest || a == b || !strings.HasSuffix(a, "-deployment") {
		t.Errorf("%s, %s", a, b)
	}
}

func TestStatusFollowsTheChildren(t *testing.T) {
	bound := func(status corev1.ConditionStatus, reason string) *sourcesv1.SinkBinding {
		b := &sourcesv1.SinkBinding{}
		b.Status.SinkURI = ptr.To("http://sink")
		b.Status.Conditions = []conditions.Condition{{Type: conditions.Ready, Status: status, Reason: reason}}
		return b
	}
	deployed := func(status corev1.ConditionStatus) *appsv1.Deployment {
		return &appsv1.Deployment{Status: appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: status, Reason: "Min"}}}}
	}
	behind := bound(corev1.ConditionTrue, "")
	behind.Generation = 2
	for _, tt := range []struct {
		name  string
		in    Input
		ready string
	}{
		{"all is well", Input{Binding: bound("True", ""), Deployment: deployed("True")}, "True:"},
		{"no sink", Input{Binding: bound("False", "NotFound")}, "False:NotFound"},
		{"no binding", Input{BindingErr: errors.New("taken")}, "False:SinkBindingFailed"},
		{"one that is behind", Input{Binding: behind, Deployment: deployed("True")}, "Unknown:SinkBindingPending"},
		{"no pods yet", Input{Binding: bound("True", ""), Deployment: &appsv1.Deployment{}}, "Unknown:DeploymentUnavailable"},
		{"no pods", Input{Binding: bound("True", ""), Deployment: deployed("False")}, "False:Min"},
		{"no Deployment", Input{Binding: bound("True", ""), DeploymentErr: errors.New("taken")}, "False:DeploymentFailed"},
	} {
		tt.in.Source, tt.in.Now = beat(), noon.Time
		out := Decide(tt.in)
		c := out.GetCondition(conditions.Ready)
		if got := string(c.Status) + ":" + c.Reason; got != tt.ready || out.ObservedGeneration != 2 {
			t.Errorf("%s: %s", tt.name, got)
		}
		if has := tt.in.Binding != nil; has != (out.SinkURI != nil) {
			t.Errorf("%s: sink %v", tt.name, out.SinkURI)
		}
	}
}
