package workload

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

func TestWhereTheProxyRunsIsSaidByTheRevisionThenItsNamespace(t *testing.T) {
	says := func(p string) map[string]string { return map[string]string{ReplicaProxyKey: p} }
	for _, c := range []struct {
		revision, namespace map[string]string
		want                ReplicaProxy
	}{
		{nil, nil, NodeProxy},
		{nil, says("sidecar"), SidecarProxy},
		{says("node"), says("sidecar"), NodeProxy},
		{says("elsewhere"), says("sidecar"), SidecarProxy},
	} {
		if got := ChooseProxy(c.revision, c.namespace, NodeProxy); got != c.want {
			t.Errorf("revision %v, namespace %v: %s, want %s", c.revision, c.namespace, got, c.want)
		}
	}
}

func TestSidecarResources(t *testing.T) {
	set, _, err := config.NewSet("cluster.local").With(config.DeploymentName, map[string]string{
		"queue-sidecar-cpu-limit": "1", "queue-sidecar-memory-request": "30Mi",
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &servingv1.Revision{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
		serving.SidecarCPULimitAnnotationKey: "2", serving.SidecarResourcePercentageAnnotationKey: "20",
	}}}
	r.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{"cpu": resource.MustParse("1"), "memory": resource.MustParse("500Mi")},
		Limits:   corev1.ResourceList{"memory": resource.MustParse("100Mi")},
	}}}
	got := SidecarResources(r, set.Deployment)
	for _, c := range []struct {
		what string
		got  resource.Quantity
		want string
	}{
		{"a share of the user's, at most 100m", got.Requests["cpu"], "100m"},
		{"a share of the user's", got.Requests["memory"], "100Mi"},
		{"the annotation's", got.Limits["cpu"], "2"},
		{"a share of the user's, at least 200Mi", got.Limits["memory"], "200Mi"},
	} {
		if want := resource.MustParse(c.want); c.got.Cmp(want) != 0 {
			t.Errorf("%s: %s, want %s", c.what, c.got.String(), c.want)
		}
	}
	r.Annotations = nil
	if got := SidecarResources(r, set.Deployment); got.Requests.Memory().String() != "30Mi" || got.Limits.Cpu().String() != "1" || got.Limits.Memory().String() != "0" {
		t.Errorf("the cluster's: %+v", got)
	}
}

func TestARolloverKeepsWhatOthersOwn(t *testing.T) {
	r := &servingv1.Revision{ObjectMeta: metav1.ObjectMeta{Name: "shop-00001", UID: "1"}}
	r.Spec.Containers = []corev1.Container{{Name: "user-container", Image: "shop:v1"}}
	in := Input{Revision: r, Config: config.NewSet("cluster.local"), Proxy: NodeProxy}
	have := NewDeployment(in)
	have.Spec.Replicas = ptr.To[int32](7)
	have.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] = "now"
	have.Spec.Template.Labels["old.knative.dev/label"] = "x"
	if Rollover(have, NewDeployment(in)) != nil {
		t.Error("rolled over although nothing of ours has changed")
	}
	in.Proxy = SidecarProxy
	d := Rollover(have, NewDeployment(in))
	if d == nil || *d.Spec.Replicas != 7 || d.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] != "now" {
		t.Fatalf("%+v", d)
	}
	if l := d.Spec.Template.Labels; l["old.knative.dev/label"] != "" || l[ReplicaProxyKey] != "sidecar" {
		t.Errorf("labels %v", l)
	}
	if again := Rollover(d, NewDeployment(in)); again != nil {
		t.Error("rolled over twice")
	}
}

// The same input makes the same Deployment: maps and lists in between must not show.
func TestADeploymentIsStable(t *testing.T) {
	r := &servingv1.Revision{ObjectMeta: metav1.ObjectMeta{
		Name: "shop-00001", UID: "1", Labels: map[string]string{"a": "1", "b": "2", "c": "3"}, Annotations: map[string]string{"x": "1", "y": "2"},
	}}
	r.Spec.Containers = []corev1.Container{{Name: "user-container", Image: "shop:v1"}}
	in := Input{Revision: r, Config: config.NewSet("cluster.local"), Proxy: NodeProxy, Digests: map[string]string{"user-container": "d", "other": "e"}}
	hash := func(d *appsv1.Deployment) string { return d.Labels[serving.DeploymentHashLabelKey] }
	first := hash(NewDeployment(in))
	for range 50 {
		if again := hash(NewDeployment(in)); again != first {
			t.Fatalf("%s, then %s", first, again)
		}
	}
	in.Config, _, _ = in.Config.With("config-autoscaler", map[string]string{"initial-scale": "5"})
	if d := NewDeployment(in); hash(d) != first || *d.Spec.Replicas != 5 {
		t.Error("how many replicas there are at first makes another Deployment")
	}
	r.Annotations["autoscaling.knative.dev/min-scale"] = "3"
	r.Labels[serving.RoutingStateLabelKey] = "reserve"
	if hash(NewDeployment(in)) != first {
		t.Error("what only the autoscaler and the labeler look at makes another Deployment")
	}
}

func TestAReplicaThatIsToGoWaitsForItsLongestCall(t *testing.T) {
	for name, c := range map[string]struct {
		timeout     *int64
		annotations map[string]string
		want        int64
	}{
		"the cluster's time":         {nil, nil, 300 + GraceMargin},
		"its own":                    {ptr.To[int64](20), nil, 20 + GraceMargin},
		"that of calls in the queue": {ptr.To[int64](20), map[string]string{"async.ebb.dev/timeout": "15m"}, 900 + GraceMargin},
		"those may be short":         {ptr.To[int64](20), map[string]string{"async.ebb.dev/timeout": "5s"}, 20 + GraceMargin},
	} {
		t.Run(name, func(t *testing.T) {
			r := &servingv1.Revision{ObjectMeta: metav1.ObjectMeta{Name: "shop-00001", Annotations: c.annotations}}
			r.Spec.Containers, r.Spec.TimeoutSeconds = []corev1.Container{{Name: "user-container", Image: "shop:v1"}}, c.timeout
			d := NewDeployment(Input{Revision: r, Config: config.NewSet("cluster.local"), Proxy: NodeProxy})
			if got := *d.Spec.Template.Spec.TerminationGracePeriodSeconds; got != c.want {
				t.Errorf("%d s, want %d", got, c.want)
			}
		})
	}
}
