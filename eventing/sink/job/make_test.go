package job

import (
	"net/url"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
)

func mill() *sinksv1alpha1.JobSink {
	s := &sinksv1alpha1.JobSink{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "mill", UID: "sink"}}
	s.Spec.Job = &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "ignored", Labels: map[string]string{"app": "mill"}}}
	s.Spec.Job.Spec.Template.Spec = corev1.PodSpec{
		RestartPolicy:  corev1.RestartPolicyNever,
		InitContainers: []corev1.Container{{Name: "first", Image: "i"}},
		Containers: []corev1.Container{
			{Name: "own", Image: "i", VolumeMounts: []corev1.VolumeMount{{Name: volume, MountPath: "/here"}}},
			{Name: "plain", Image: "i", Env: []corev1.EnvVar{{Name: "K_EVENT_PATH", Value: "/elsewhere"}}},
		},
	}
	return s
}

func order(id string) *event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("/shop/till")
	e.SetType("order")
	return &e
}

func env(c corev1.Container) string {
	var out []string
	for _, e := range c.Env {
		out = append(out, e.Name+"="+e.Value)
	}
	return strings.Join(out, " ")
}

func TestEveryContainerFindsItsEvent(t *testing.T) {
	s := mill()
	j := JobOf(s, order("1"))
	if j.Name != NameOf("mill", "/shop/till", "1") || j.Namespace != "shop" || j.Labels["app"] != "mill" || j.Labels[NameLabel] != "mill" ||
		j.Labels[IDLabel] != j.Name || !metav1.IsControlledBy(j, s) {
		t.Errorf("%+v", j.ObjectMeta)
	}
	pod := j.Spec.Template.Spec
	if len(pod.Volumes) != 1 || pod.Volumes[0].Secret.SecretName != j.Name {
		t.Errorf("volumes %+v", pod.Volumes)
	}
	for _, tt := range []struct {
		container  corev1.Container
		path, vars string
	}{
		{pod.InitContainers[0], "/etc/jobsink-event", "K_EXECUTION_MODE=batch K_EVENT_PATH=/etc/jobsink-event"},
		{pod.Containers[0], "/here", "K_EXECUTION_MODE=batch K_EVENT_PATH=/here"},
		{pod.Containers[1], "/etc/jobsink-event", "K_EVENT_PATH=/etc/jobsink-event K_EXECUTION_MODE=batch"},
	} {
		if m := tt.container.VolumeMounts; len(m) != 1 || m[0].Name != volume || m[0].MountPath != tt.path || env(tt.container) != tt.vars {
			t.Errorf("%s: mounts %+v, env %s", tt.container.Name, m, env(tt.container))
		}
	}
	if s.Spec.Job.Name != "ignored" || len(s.Spec.Job.Spec.Template.Spec.Volumes) != 0 {
		t.Error("the sink was changed")
	}
	secret, err := SecretOf(j, "mill", order("1"))
	if err != nil || secret.Name != j.Name || !strings.Contains(string(secret.Data["event"]), `"id":"1"`) || secret.OwnerReferences[0].Kind != "Job" {
		t.Errorf("%+v, %v", secret, err)
	}
}

func TestAnEventHasOneName(t *testing.T) {
	if first, again := NameOf("a", "s", "1"), NameOf("a", "s", "1"); first != again {
		t.Errorf("one event has two names, %s and %s", first, again)
	}
	long := strings.Repeat("x", 62)
	seen := map[string]bool{}
	for _, n := range []string{NameOf("a", "s", "1"), NameOf("a", "s1", ""), NameOf("a", "", "s1"), NameOf("b", "s", "1"), NameOf(long+"a", "s", "1"), NameOf(long+"b", "s", "1")} {
		if seen[n] || len(n) > 63 {
			t.Errorf("%s is another's, or too long", n)
		}
		seen[n] = true
	}
	if v := labelOf(strings.Repeat("x", 70)); len(v) != 63 {
		t.Errorf("label %s", v)
	}
}

func FuzzPlaceReadsWhatLocationWrites(f *testing.F) {
	f.Add("shop", "mill", "/shop/till", "1")
	f.Add("a", "b", "urn:x y%2f", "?#")
	f.Fuzz(func(t *testing.T, namespace, name, source, id string) {
		if source == "" || id == "" || namespace == "" || name == "" || strings.ContainsAny(namespace+name, "/%?#") {
			return
		}
		u, err := url.Parse(location(types.NamespacedName{Namespace: "ns", Name: "mill"}, source, id))
		if err != nil {
			t.Fatal(err)
		}
		sink, gotSource, gotID, err := place(u)
		if err != nil || sink.Namespace != "ns" || sink.Name != "mill" || gotSource != source || gotID != id {
			t.Errorf("%s: %v %q %q, %v", u, sink, gotSource, gotID, err)
		}
		arbitrary := &url.URL{Path: namespace + "/" + name + "/" + source + "/" + id}
		_, _, _, _ = place(arbitrary)
	})
}
