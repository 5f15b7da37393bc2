package gc

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

var now = time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)

// revision is one of that age, last active then, in reserve unless change says otherwise.
func revision(n int, age, idle time.Duration, change ...func(*servingv1.Revision)) servingv1.Revision {
	r := servingv1.Revision{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("shop-%05d", n), CreationTimestamp: metav1.NewTime(now.Add(-age)),
		Labels:      map[string]string{serving.RoutingStateLabelKey: string(servingv1.RoutingStateReserve)},
		Annotations: map[string]string{serving.RoutingStateModifiedAnnotationKey: now.Add(-idle).Format(time.RFC3339)},
	}}
	for _, c := range change {
		c(&r)
	}
	return r
}

func state(s servingv1.RoutingState) func(*servingv1.Revision) {
	return func(r *servingv1.Revision) { r.Labels[serving.RoutingStateLabelKey] = string(s) }
}

func annotated(key, value string) func(*servingv1.Revision) {
	return func(r *servingv1.Revision) { r.Annotations[key] = value }
}

func rules(sinceCreate, sinceActive time.Duration, least, most int64) *config.GC {
	return &config.GC{
		RetainSinceCreateTime: sinceCreate, RetainSinceLastActiveTime: sinceActive, MinNonActiveRevisions: least, MaxNonActiveRevisions: most,
	}
}

func TestCollection(t *testing.T) {
	hour, day := time.Hour, 24*time.Hour
	shop := &servingv1.Configuration{ObjectMeta: metav1.ObjectMeta{Name: "shop", Generation: 9}}
	shop.Status.LatestReadyRevisionName = "shop-00008"
	for _, c := range []struct {
		name      string
		rules     *config.GC
		revisions []servingv1.Revision
		want      []string
		next      time.Duration
	}{
		{"old and long unused", rules(48*hour, 15*hour, 0, 1000),
			[]servingv1.Revision{revision(1, 3*day, 2*day), revision(2, 3*day, 14*hour), revision(3, 47*hour, 47*hour)},
			[]string{"shop-00001"}, time.Hour},
		{"the minimum stays, the longest unused goes", rules(48*hour, 15*hour, 2, 1000),
			[]servingv1.Revision{revision(1, 9*day, 5*day), revision(2, 9*day, 8*day), revision(3, 9*day, 6*day)}, []string{"shop-00002"}, 0},
		{"more than the maximum go, however young", rules(48*hour, 15*hour, 0, 1),
			[]servingv1.Revision{revision(1, hour, hour), revision(2, hour, 2*hour), revision(3, hour, 3*hour)}, []string{"shop-00003", "shop-00002"}, 47 * hour},
		{"ages do not count", rules(config.NoLimit, config.NoLimit, 0, 2),
			[]servingv1.Revision{revision(1, 9*day, 9*day), revision(2, 9*day, 8*day), revision(3, 9*day, 7*day)}, []string{"shop-00001"}, 0},
		{"the age since creation alone", rules(48*hour, config.NoLimit, 0, config.NoLimit),
			[]servingv1.Revision{revision(1, 3*day, hour), revision(2, day, 9*day)}, []string{"shop-00001"}, day},
		{"disabled", rules(config.NoLimit, config.NoLimit, 0, config.NoLimit), []servingv1.Revision{revision(1, 99*day, 99*day)}, nil, 0},
		{"what is needed", rules(0, 0, 0, 0), []servingv1.Revision{
			revision(1, 9*day, 9*day, state(servingv1.RoutingStateActive)), revision(2, 9*day, 9*day, state(servingv1.RoutingStatePending)),
			revision(3, 9*day, 9*day, annotated(serving.NoGCAnnotationKey, "TRUE")), revision(4, 9*day, 9*day, state("")),
			revision(5, 9*day, 9*day, func(r *servingv1.Revision) { r.DeletionTimestamp = &r.CreationTimestamp }),
			revision(7, 9*day, 9*day), revision(8, 9*day, 9*day), revision(9, 9*day, 9*day),
		}, []string{"shop-00007"}, 0},
		{"what Knative once noted", rules(0, 15*hour, 0, config.NoLimit), []servingv1.Revision{
			revision(1, 9*day, 0, annotated(serving.RoutingStateModifiedAnnotationKey, ""), annotated(serving.LastPinnedAnnotationKey, fmt.Sprint(now.Add(-hour).Unix()))),
			revision(2, 9*day, 0, annotated(serving.RoutingStateModifiedAnnotationKey, "")),
		}, []string{"shop-00002"}, 14 * hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Decide(shop, c.revisions, c.rules, now)
			var got []string
			for _, r := range d.Delete {
				got = append(got, r.Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("deleted (-want +got):\n%s", diff)
			}
			if c.next == 0 && !d.Next.IsZero() || c.next != 0 && !d.Next.Equal(now.Add(c.next)) {
				t.Errorf("looks again at %v, want after %v", d.Next, c.next)
			}
		})
	}
}
