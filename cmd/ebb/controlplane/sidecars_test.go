package controlplane

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving"
	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

func TestTheRootsAreWhereSidecarsAre(t *testing.T) {
	for name, c := range map[string]struct {
		fallback  serving.ReplicaProxy
		namespace map[string]string
		revision  map[string]string // nil is no revision
		own       bool
		want      bool
	}{
		"by default":          {fallback: serving.SidecarProxy, revision: map[string]string{}, want: true},
		"nothing runs":        {fallback: serving.SidecarProxy},
		"node by default":     {fallback: serving.NodeProxy, revision: map[string]string{}},
		"the revision says":   {fallback: serving.NodeProxy, revision: map[string]string{serving.ReplicaProxyKey: "sidecar"}, want: true},
		"the namespace says":  {fallback: serving.NodeProxy, namespace: map[string]string{serving.ReplicaProxyKey: "sidecar"}, revision: map[string]string{}, want: true},
		"the revision is not": {fallback: serving.SidecarProxy, revision: map[string]string{serving.ReplicaProxyKey: "node"}},
		"where our own are":   {fallback: serving.NodeProxy, own: true, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			scheme, err := newScheme()
			if err != nil {
				t.Fatal(err)
			}
			objects := []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: c.namespace}}}
			if c.revision != nil {
				objects = append(objects, &servingv1.Revision{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "r", Annotations: c.revision}})
			}
			api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
			roots, made := "first", 0
			keeper := &trustKeeper{bootstrap: []byte("envoy's"), client: api, live: api, fallback: c.fallback, roots: func() string { return roots }, image: func(context.Context) error { made++; return nil }}
			if c.own {
				keeper.own = []string{"shop"}
			}
			for _, roots = range []string{"first", "rotated"} {
				if _, err := keeper.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "shop"}}); err != nil {
					t.Fatal(err)
				}
				var written corev1.ConfigMap
				err := api.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: trustName}, &written)
				if client.IgnoreNotFound(err) != nil || apierrors.IsNotFound(err) == c.want {
					t.Fatal(err)
				}
				if c.want && written.Data[rootsKey] != roots {
					t.Errorf("roots are %q, want %q", written.Data[rootsKey], roots)
				}
				if got := string(written.BinaryData[bootstrapKey]); c.want && got != "envoy's" {
					t.Errorf("the bootstrap is %q", got)
				}
			}
			if (made > 0) != c.want {
				t.Errorf("image made %d times", made)
			}
		})
	}
}

// Anybody who reaches the pod may ask its sidecar to drain: only a pod that is being deleted leaves.
func TestASidecarSpeaksForItsOwnPodWhenThatIsDeleted(t *testing.T) {
	pod := model.Key{Namespace: "default", Name: "a"}
	own := identity.Peer{Identity: model.Identity{Account: model.Key{Namespace: "default", Name: "default"}}, Pod: pod}
	for name, c := range map[string]struct {
		peer                 identity.Peer
		known, seen, deleted bool
		want                 int
	}{
		"it stays":                       {peer: own, known: true},
		"it is being deleted":            {peer: own, known: true, seen: true, want: 1},
		"the API server alone knows yet": {peer: own, known: true, deleted: true, want: 1},
		"it is no replica":               {peer: own, deleted: true},
		"a workload without a pod":       {peer: identity.Peer{Identity: own.Identity}, known: true, deleted: true},
	} {
		t.Run(name, func(t *testing.T) {
			world := store.New()
			if c.known {
				world.Write(func(tx *store.Tx) {
					tx.SetReplica(&store.Replica{Replica: model.Replica{Pod: pod}, Terminating: c.seen})
				})
			}
			n := &node{store: world, deleted: func(_ context.Context, asked model.Key) bool { return c.deleted && asked == pod }}
			// What it names in the request does not matter.
			got := n.leaving(t.Context(), c.peer, &agentpb.DrainRequest{Namespace: "other", Name: "b"})
			if len(got) != c.want || c.want > 0 && got[0] != pod {
				t.Errorf("got %v", got)
			}
		})
	}
}

// heard is what a watcher was told.
type heard []string

func (h *heard) Reported(pod model.Key, node, uid, ip string, started time.Time) {
	*h = append(*h, fmt.Sprint(pod, " on ", node, " ", uid, " ", ip, " ", started.UnixMilli()))
}

func (h *heard) Forgotten(pod model.Key, _ string) { *h = append(*h, fmt.Sprint(pod, " is forgotten")) }

// A sidecar knows its pod's address and when its app listens; nothing that it says ends a pod.
func TestASidecarReportsItsOwnPodAlone(t *testing.T) {
	pod := model.Key{Namespace: "default", Name: "a"}
	own := identity.Peer{Identity: model.Identity{Account: model.Key{Namespace: "default", Name: "default"}}, Pod: pod}
	world := store.New()
	world.Write(func(tx *store.Tx) { tx.SetReplica(&store.Replica{Replica: model.Replica{Pod: pod}, Node: "n1"}) })
	report := func(state agentpb.PodReport_State) *agentpb.PodReport {
		return &agentpb.PodReport{Namespace: "default", Name: "a", Uid: "u1", Ip: "10.244.0.7", State: state, At: timestamppb.New(time.UnixMilli(1700))}
	}
	for name, c := range map[string]struct {
		pod     model.Key
		state   agentpb.PodReport_State
		store   *store.Store
		want    heard
		refused bool
	}{
		"its address":          {pod: pod, state: agentpb.PodReport_STARTING, store: world, want: heard{"default/a on n1 u1 10.244.0.7 " + fmt.Sprint(time.Time{}.UnixMilli())}},
		"its app listens":      {pod: pod, state: agentpb.PodReport_STARTED, store: world, want: heard{"default/a on n1 u1 10.244.0.7 1700"}},
		"an end, which is not": {pod: pod, state: agentpb.PodReport_STOPPED, store: world},
		"not known yet":        {pod: pod, state: agentpb.PodReport_STARTED, store: store.New()},
		"another pod":          {pod: model.Key{Namespace: "default", Name: "b"}, state: agentpb.PodReport_STARTED, store: world, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			var told heard
			err := (&node{store: c.store, watcher: &told}).ownReport(own, c.pod, report(c.state))
			if (err != nil) != c.refused || !slices.Equal(told, c.want) {
				t.Errorf("told %q, error %v", told, err)
			}
		})
	}
}
