package podspec

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

func none(string) bool { return false }

func TestAFieldThatRevisionsDoNotHaveIsRefusedByName(t *testing.T) {
	spec := &corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		HostNetwork:   true,
		NodeSelector:  map[string]string{"disk": "ssd"},
		Tolerations:   []corev1.Toleration{},
		Containers: []corev1.Container{{}, {
			Lifecycle: &corev1.Lifecycle{},
			Ports:     []corev1.ContainerPort{{ContainerPort: 1, HostPort: 80}},
			Env:       []corev1.EnvVar{{ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{}}}},
			Resources: corev1.ResourceRequirements{Claims: []corev1.ResourceClaim{{}}},
			SecurityContext: &corev1.SecurityContext{
				ProcMount:    ptr.To(corev1.DefaultProcMount),
				Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}},
			},
		}},
		Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}, HostPath: &corev1.HostPathVolumeSource{}}}},
	}
	var got []string
	for _, err := range Check(spec, none, field.NewPath("spec")) {
		got = append(got, err.Field)
	}
	want := []string{
		"spec.volumes[0].hostPath",
		"spec.volumes[0].nfs",
		"spec.containers[1].ports[0].hostPort",
		"spec.containers[1].env[0].valueFrom.fieldRef",
		"spec.containers[1].resources.claims",
		"spec.containers[1].lifecycle",
		"spec.containers[1].securityContext.capabilities.add",
		"spec.containers[1].securityContext.procMount",
		"spec.restartPolicy",
		"spec.nodeSelector",
		"spec.hostNetwork",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refused fields (-want +got):\n%s", diff)
	}
}

func TestAFeatureOpensItsFieldAndNoOther(t *testing.T) {
	spec := &corev1.PodSpec{
		NodeSelector:  map[string]string{"disk": "ssd"},
		SchedulerName: "mine",
	}
	errs := Check(spec, func(f string) bool { return f == "kubernetes.podspec-nodeselector" }, field.NewPath("spec"))
	if len(errs) != 1 || errs[0].Field != "spec.schedulerName" || !strings.Contains(errs[0].Detail, "kubernetes.podspec-schedulername") {
		t.Errorf("got %v, want spec.schedulerName refused with its feature", errs)
	}
}

// A wrong name in the table would open nothing and be noticed by nobody.
func TestEveryFieldInTheTableExists(t *testing.T) {
	planned := map[string]map[string]bool{}
	for typ, fields := range plans() {
		planned[typ.Name()] = map[string]bool{}
		for _, f := range fields {
			planned[typ.Name()][f.name] = true
		}
	}
	for typ, fields := range Table() {
		if planned[typ] == nil {
			t.Errorf("%s is in the table and not part of a PodSpec", typ)
		}
		for name := range fields {
			if !planned[typ][name] {
				t.Errorf("%s.%s is in the table and not in k8s.io/api", typ, name)
			}
		}
	}
}

// Every type that Knative masks somewhere is the whole of its own plan: nothing can be set past the walk.
func TestThePlanSeesEveryFieldOfAListedType(t *testing.T) {
	for typ, fields := range plans() {
		seen := map[string]bool{}
		for _, f := range fields {
			seen[f.name] = true
		}
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if !typ.Field(i).Anonymous && !seen[name] {
				t.Errorf("%s.%s is not in the plan", typ.Name(), name)
			}
		}
	}
	if len(plans()[reflect.TypeFor[corev1.Probe]()]) < 10 {
		t.Error("the handlers that Probe inlines are missing from its plan")
	}
}

func BenchmarkCheck(b *testing.B) {
	spec := &corev1.PodSpec{Containers: []corev1.Container{{
		Image: "a", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}, Env: []corev1.EnvVar{{Name: "a", Value: "b"}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}},
	}}}
	for b.Loop() {
		Check(spec, none, field.NewPath("spec"))
	}
}
