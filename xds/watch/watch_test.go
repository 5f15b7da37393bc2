package watch

import (
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/xds/build"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// The light node is its own scheduler: a pod's program runs before the pod is bound. Its proxy is told then, and has a certificate only once the
// pod is bound to that node.
func TestANodeSpeaksForAPodUntilItIsBoundToAnother(t *testing.T) {
	s := store.New()
	w := New(s, slog.New(slog.DiscardHandler))
	w.current = fake.NewClientBuilder().Build()
	for _, name := range []string{"here", "there"} {
		w.nodes[name] = build.Node{Name: name, Address: "10.0.0.1", Proxies: 2}
	}
	revision, key := model.Key{Namespace: "default", Name: "hello-v1"}, model.Key{Namespace: "default", Name: "hello-v1-a"}
	s.Write(func(tx *store.Tx) { tx.SetRevision(model.Revision{Key: revision, Port: 8080}) })
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: key.Namespace, Name: key.Name, UID: "u1", Labels: map[string]string{serving.RevisionLabelKey: revision.Name},
	}}
	bound := func(to string) *corev1.Pod {
		out := pod.DeepCopy()
		out.Spec.NodeName = to
		return out
	}
	now := time.Unix(1000, 0)
	for _, step := range []struct {
		what        string
		do          func()
		proxy, node string
	}{
		{"nobody has said anything", func() { w.pod(pod) }, "", ""},
		{"a node has, of an earlier pod of that name", func() { w.Reported(key, "here", "u0", "10.244.0.7", now) }, "", ""},
		{"a node has", func() { w.Reported(key, "here", "u1", "10.244.0.7", now) }, "node/here/1", ""},
		{"it is bound there", func() { w.pod(bound("here")) }, "node/here/1", "here"},
		{"another speaks for it", func() { w.Reported(key, "there", "u1", "10.244.0.8", now) }, "node/here/1", "here"},
	} {
		step.do()
		replica, ok := s.Read().Replica(key)
		if !ok || replica.Proxy != step.proxy || replica.Node != step.node {
			t.Fatalf("%s: %+v", step.what, replica)
		}
		if on := len(s.Read().ReplicasOn("here")); (on == 1) != (step.node == "here") {
			t.Errorf("%s: %d replicas are bound to the node", step.what, on)
		}
	}

	w.podGone(pod)
	w.pod(pod)
	w.Reported(key, "here", "u1", "10.244.0.7", now)
	s.Write(func(tx *store.Tx) { tx.ChangeReplica(key, func(r *store.Replica) { r.Answers = true }) })
	w.pod(bound("there"))
	if replica, _ := s.Read().Replica(key); replica.Proxy != "" || replica.App.Host != "" || replica.Answers || !replica.Started.IsZero() {
		t.Errorf("bound to another node than the one that spoke for it: %+v", replica)
	}
	w.Reported(key, "there", "u1", "10.244.1.8", now)
	if replica, _ := s.Read().Replica(key); replica.Proxy != "node/there/0" || replica.App.Host != "10.244.1.8" {
		t.Errorf("and that one has spoken: %+v", replica)
	}
}
