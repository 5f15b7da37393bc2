package apply

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

func TestWhatADeletedOwnerOfTheSameNameLeftIsCleared(t *testing.T) {
	kind := servingv1.SchemeGroupVersion.WithKind("Revision")
	made := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	owner := func(uid types.UID) *servingv1.Revision {
		return &servingv1.Revision{ObjectMeta: metav1.ObjectMeta{Name: "r", UID: uid, CreationTimestamp: metav1.NewTime(made)}}
	}
	foreign := owner("old")
	foreign.Name = "other"
	for _, c := range []struct {
		name string
		of   *servingv1.Revision
		kind string
		age  time.Duration
		want bool
	}{
		{"ours", owner("new"), "Revision", 0, false},
		{"left by the one before", owner("old"), "Revision", time.Minute, true},
		{"of the same second", owner("old"), "Revision", 0, true},
		{"of one that is younger than what the cache shows", owner("next"), "Revision", -time.Minute, false},
		{"of another name", foreign, "Revision", time.Minute, false},
		{"of another kind", owner("old"), "Configuration", time.Minute, false},
	} {
		child := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
			Name: "r", CreationTimestamp: metav1.NewTime(made.Add(-c.age)), OwnerReferences: OwnerOf(c.of, servingv1.SchemeGroupVersion.WithKind(c.kind)),
		}}
		if got := Leftover(child, owner("new"), kind); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if Leftover(&corev1.Service{}, owner("new"), kind) {
		t.Error("nobody's is taken for a leftover")
	}
	var p Plan
	going := &corev1.Service{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{Time: made}}}
	p.Clear(going)
	p.Clear(&corev1.Service{})
	if len(p.Delete) != 1 {
		t.Errorf("deletes %d objects", len(p.Delete))
	}
}
