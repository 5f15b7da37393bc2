package light

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestANodeIsChosenAsTheSchedulerWould(t *testing.T) {
	have := map[string]string{"disk": "ssd"}
	taint := []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}
	affinity := func(op corev1.NodeSelectorOperator, values ...string) *corev1.Affinity {
		return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "disk", Operator: op, Values: values}}}},
		}}}
	}
	for name, c := range map[string]struct {
		spec   corev1.PodSpec
		taints []corev1.Taint
		ok     bool
	}{
		"nothing asked":    {ok: true},
		"selector":         {spec: corev1.PodSpec{NodeSelector: have}, ok: true},
		"another selector": {spec: corev1.PodSpec{NodeSelector: map[string]string{"disk": "tape"}}},
		"affinity":         {spec: corev1.PodSpec{Affinity: affinity(corev1.NodeSelectorOpIn, "ssd", "nvme")}, ok: true},
		"against":          {spec: corev1.PodSpec{Affinity: affinity(corev1.NodeSelectorOpNotIn, "ssd")}},
		"tainted":          {taints: taint},
		"tolerated":        {spec: corev1.PodSpec{Tolerations: []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}}, taints: taint, ok: true},
	} {
		if got := refuseNode(&corev1.Pod{Spec: c.spec}, "n", have, c.taints); (got == "") != c.ok {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestConditionsFollowTheContainersAndKeepOthers(t *testing.T) {
	obj := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Generation: 2},
		Spec:       corev1.PodSpec{ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "mine"}}},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: "mine", Status: corev1.ConditionTrue}}},
	}
	up := corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "1.2.3.4", ContainerStatuses: []corev1.ContainerStatus{{Name: "a", Ready: true}}}
	got := conditions(obj, up, nil)
	if !isTrue(got, corev1.PodReady) || !isTrue(got, "mine") {
		t.Errorf("ready: %+v", got)
	}
	obj.Status.Conditions[0].Status = corev1.ConditionFalse
	if got = conditions(obj, up, nil); isTrue(got, corev1.PodReady) || !isTrue(got, corev1.ContainersReady) {
		t.Errorf("gate closed: %+v", got)
	}
	up.ContainerStatuses[0].Ready = false
	for _, c := range conditions(obj, up, nil) {
		if c.Type == corev1.ContainersReady && (c.Reason != "ContainersNotReady" || c.Message != "containers with unready status: [a]") {
			t.Errorf("not ready: %+v", c)
		}
	}
	up.Phase = corev1.PodSucceeded
	for _, c := range conditions(obj, up, nil) {
		if c.Type == corev1.PodReady && (c.Status != corev1.ConditionFalse || c.Reason != "PodCompleted") {
			t.Errorf("completed: %+v", c)
		}
	}
}
