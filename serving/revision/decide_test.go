package revision

import (
	"cmp"
	"errors"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/config"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/digest"
	"ebb.dev/ebb/serving/goldentest"
	"ebb.dev/ebb/serving/status"
	"ebb.dev/ebb/serving/workload"
)

// given is what a case says beside its objects.
type given struct {
	Proxy   workload.ReplicaProxy `json:"proxy"`
	Images  map[string]string     `json:"images"`
	Failure string                `json:"failure"`
	// Current says that the children are what they should be, whatever is left out of them.
	Current bool `json:"current"`
}

func input(t *testing.T, c *goldentest.Case) Input {
	g := given{Proxy: workload.NodeProxy}
	c.Given(t, &g)
	in := Input{
		Now:           goldentest.Now,
		Images:        digest.Result{Known: g.Images != nil, Images: g.Images, Failure: g.Failure},
		Deployment:    goldentest.First[*appsv1.Deployment](c, ""),
		PodAutoscaler: goldentest.First[*autoscalingv1alpha1.PodAutoscaler](c, ""),
		Service:       goldentest.First[*corev1.Service](c, ""),
	}
	in.Revision, in.Config, in.Proxy = goldentest.First[*servingv1.Revision](c, ""), c.Config, g.Proxy
	in.PreStop = func(*servingv1.Revision) *corev1.LifecycleHandler {
		return &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/drain", Port: intstr.FromInt32(9999), Host: "127.0.0.1"}}
	}
	in.Sidecar = func(pod *corev1.PodSpec, r *servingv1.Revision, cfg *config.Set) {
		always := corev1.ContainerRestartPolicyAlways
		pod.InitContainers = append(pod.InitContainers, corev1.Container{
			Name: "queue-proxy", Image: "ebb.dev/envoy", RestartPolicy: &always, Resources: workload.SidecarResources(r, cfg.Deployment),
		})
	}
	for _, pod := range goldentest.All[*corev1.Pod](c) {
		in.Pods = append(in.Pods, *pod)
	}
	slices.SortFunc(in.Pods, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	if g.Current {
		in.adopt(Decide(in).Plan)
	}
	return in
}

// adopt takes over the children as the plan wants them.
func (in *Input) adopt(p apply.Plan) {
	for _, u := range p.Update {
		switch to := u.To.(type) {
		case *appsv1.Deployment:
			in.Deployment = to
		case *autoscalingv1alpha1.PodAutoscaler:
			in.PodAutoscaler = to
		case *corev1.Service:
			in.Service = to
		}
	}
}

func TestGoldens(t *testing.T) {
	goldentest.Run(t, func(t *testing.T, c *goldentest.Case) any {
		in := input(t, c)
		d := Decide(in)
		return goldentest.Show(t, d.Plan, d.News).WithStatus(in.Revision.Status, d.Status, d.Pace)
	})
}

func TestWhatIsDoneIsNotDoneAgain(t *testing.T) {
	goldentest.Again(t, func(t *testing.T, c *goldentest.Case) apply.Plan { return Decide(input(t, c)).Plan })
}

// The API server fills in what a Deployment leaves out. That must not look like a change.
func TestWhatTheServerFillsInIsNoChange(t *testing.T) {
	in := input(t, goldentest.Load(t, "testdata/new/in.yaml"))
	d := Decide(in)
	for _, o := range d.Plan.Create {
		switch o := o.(type) {
		case *appsv1.Deployment:
			o.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyAlways
			o.Spec.Template.Spec.Containers[0].TerminationMessagePath = "/dev/termination-log"
			o.Spec.Replicas = new(int32)
			in.Deployment = o
		case *corev1.Service:
			o.Spec.ClusterIP, o.Spec.Ports[0].NodePort = "10.96.0.7", 0
			in.Service = o
		case *autoscalingv1alpha1.PodAutoscaler:
			in.PodAutoscaler = o
		}
	}
	if again := Decide(in); !again.Plan.Empty() {
		t.Errorf("decided again: %+v", goldentest.Show(t, again.Plan, nil))
	}
}

// While a revision is woken nothing is told; what it came to is told a moment later.
func TestAWakeIsToldAfterwards(t *testing.T) {
	in := input(t, goldentest.Load(t, "testdata/asleep/in.yaml"))
	in.Revision.Status = Decide(in).Status
	later := goldentest.Now.Add(time.Hour)
	for _, stage := range []struct {
		name string
		mark func(autoscalingv1alpha1.PodAutoscalerMarks)
		want status.Pace
	}{
		{"woken", func(m autoscalingv1alpha1.PodAutoscalerMarks) { m.Activating("Queued", "") }, status.Late},
		{"awake", func(m autoscalingv1alpha1.PodAutoscalerMarks) { m.Active() }, status.Calm},
		{"asleep again", func(m autoscalingv1alpha1.PodAutoscalerMarks) { m.Inactive("NoTraffic", "") }, status.Calm},
	} {
		in.Now = later
		stage.mark(in.PodAutoscaler.Status.Mark(metav1.NewTime(later)))
		d := Decide(in)
		if d.Pace != stage.want || !d.Plan.Empty() || len(d.News) > 0 || !d.Status.GetCondition("Ready").IsTrue() {
			t.Errorf("%s: pace %v, want %v; %+v", stage.name, d.Pace, stage.want, d)
		}
	}
}

func TestAChildThatTheServerRefusesIsTold(t *testing.T) {
	in := input(t, goldentest.Load(t, "testdata/new/in.yaml"))
	d := Refused(in, Decide(in), errors.New("exceeded quota"))
	ready := d.Status.GetCondition(servingv1.RevisionConditionReady)
	if !ready.IsFalse() || ready.Reason != "FailedCreate" || ready.Message != "exceeded quota" || d.Pace != status.Now || len(d.News) != 1 {
		t.Errorf("%+v", d)
	}
}
