package podenv

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type objects struct{}

func (objects) ConfigMap(_, name string) (*corev1.ConfigMap, error) {
	if name != "cm" {
		return nil, errors.New(`configmap "` + name + `" not found`)
	}
	return &corev1.ConfigMap{Data: map[string]string{"key": "from-cm"}}, nil
}

func (objects) Secret(_, name string) (*corev1.Secret, error) {
	if name != "s" {
		return nil, errors.New(`secret "` + name + `" not found`)
	}
	return &corev1.Secret{Data: map[string][]byte{"pw": []byte("hush")}}, nil
}

func TestTheEnvironmentIsTheKubelets(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", Labels: map[string]string{"a": "b"}}}
	yes := true
	ref := func(n string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: n} }
	c := &corev1.Container{
		EnvFrom: []corev1.EnvFromSource{{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref("cm")}},
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref("none"), Optional: &yes}}},
		Env: []corev1.EnvVar{
			{Name: "A", Value: "1"}, {Name: "B", Value: "$(A)-$(P_key)-$(NOPE)-$$(A)"},
			{Name: "L", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['a']"}}},
			{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
			{Name: "S", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref("s"), Key: "pw"}}},
			{Name: "O", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref("s"), Key: "x", Optional: &yes}}},
			{Name: "CPU", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}},
			{Name: "MEM", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}}},
		},
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")}},
	}
	env, err := Environment(pod, c, map[string]string{"BASE": "x"}, objects{}, Facts{PodIP: "10.0.0.1", Allocatable: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}})
	if err != nil {
		t.Fatal(err)
	}
	want := "A=1 B=1-from-cm-$(NOPE)-$(A) BASE=x CPU=1 IP=10.0.0.1 L=b MEM=1024 P_key=from-cm S=hush"
	if got := strings.Join(env, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := ExpandAll([]string{"--a=$(A)", "$(X)"}, env); got[0] != "--a=1" || got[1] != "$(X)" {
		t.Errorf("arguments: %q", got)
	}
	c.Env = []corev1.EnvVar{{Name: "S", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref("s"), Key: "x"}}}}
	if _, err := Environment(pod, c, nil, objects{}, Facts{}); err == nil || err.Error() != "couldn't find key x in Secret ns/s" {
		t.Errorf("a missing key: %v", err)
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"$(A)", "$$(A)", "$(", "$", "a$(B)c$$$(A)", "$(A$(A))"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		none := Expand(s, func(string) (string, bool) { return "", false })
		if !strings.Contains(s, "$$") && none != s {
			t.Fatalf("%q became %q though nothing is known", s, none)
		}
		_ = Expand(s, func(n string) (string, bool) { return n, true })
	})
}
