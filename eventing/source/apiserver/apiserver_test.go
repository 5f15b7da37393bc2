package apiserver_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/handed"
	"ebb.dev/ebb/eventing/source/apiserver"
	rigs "ebb.dev/ebb/test/apiserver"
	"ebb.dev/ebb/test/eventrig"
)

// The promises that take an API server to keep.
func TestOnARealAPIServer(t *testing.T) {
	r := eventrig.Start(t, rigs.Options{})
	whole, err := dynamic.NewForConfig(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	data, err := metadata.NewForConfig(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	reconciler := &apiserver.Reconciler{
		Client: r.Manager.GetClient(), Mapper: r.Manager.GetRESTMapper(), Resolver: r.Resolver, Exposer: r, Handed: handed.New(r.Plane),
		Host: r.Config.Host, Clock: clock.RealClock{},
		Adapter: &apiserver.Adapter{
			Watches: &apiserver.Watches{Whole: whole, Metadata: data, Log: r.Log}, Accept: r.Plane.Accept, Clock: clock.RealClock{}, Log: r.Log,
		},
	}
	if err := reconciler.Setup(r.Manager); err != nil {
		t.Fatal(err)
	}
	r.Run(t)
	t.Run("ASourceWaitsUntilItsAccountMayWatch", func(t *testing.T) { aSourceWaitsUntilItsAccountMayWatch(t, r) })
	t.Run("EveryChangeIsTold", func(t *testing.T) { everyChangeIsTold(t, r) })
	t.Run("NamespacesComeAndGo", func(t *testing.T) { namespacesComeAndGo(t, r) })
	t.Run("AKindThatIsNotServedIsNamed", func(t *testing.T) { aKindThatIsNotServedIsNamed(t, r) })
}

func configMaps(namespace, name, mode string) *sourcesv1.ApiServerSource {
	s := &sourcesv1.ApiServerSource{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.Resources = []sourcesv1.APIVersionKindSelector{{APIVersion: "v1", Kind: "ConfigMap"}}
	s.Spec.EventMode, s.Spec.ServiceAccountName = mode, "default"
	s.Spec.Sink = duck.Destination{Ref: &duck.KReference{APIVersion: "v1", Kind: "Service", Name: "sink"}}
	return s
}

// allow lets every ServiceAccount of a namespace watch ConfigMaps in all.
func allow(t *testing.T, r *eventrig.Rig, namespace string) {
	r.Create(t,
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch"},
		}}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: namespace}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: namespace},
			Subjects: []rbacv1.Subject{{Kind: "Group", APIGroup: rbacv1.GroupName, Name: "system:serviceaccounts:" + namespace}},
		})
}

func awaitReady(t *testing.T, r *eventrig.Rig, s *sourcesv1.ApiServerSource) {
	t.Helper()
	rigs.Eventually(t, s.Name+" is ready", func(ctx context.Context) bool {
		return r.Client.Get(ctx, client.ObjectKeyFromObject(s), s) == nil && s.IsReady()
	})
}

// told are the verbs and names of a source's events in order.
func told(t *testing.T, r *eventrig.Rig, s *sourcesv1.ApiServerSource) []string {
	var out []string
	for _, e := range r.Plane.Stored(t.Context(), apiserver.StreamOf(s).ID) {
		if name, _ := e.Extensions()["name"].(string); name != "kube-root-ca.crt" {
			out = append(out, strings.TrimPrefix(e.Type(), "dev.knative.apiserver.")+" "+name)
		}
	}
	return out
}

func expect(t *testing.T, r *eventrig.Rig, s *sourcesv1.ApiServerSource, want ...string) {
	t.Helper()
	rigs.Eventually(t, s.Name+" tells "+strings.Join(want, ", "), func(context.Context) bool { return slices.Equal(told(t, r, s), want) })
}

func configMap(namespace, name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

func aSourceWaitsUntilItsAccountMayWatch(t *testing.T, r *eventrig.Rig) {
	r.Namespace(t, "waits", nil)
	s := configMaps("waits", "s", sourcesv1.ReferenceMode)
	r.Create(t, s)
	rigs.Eventually(t, "what is missing is told", func(ctx context.Context) bool {
		c := s.Status.GetCondition(sourcesv1.ApiServerSourceConditionSufficientPermissions)
		return r.Client.Get(ctx, client.ObjectKeyFromObject(s), s) == nil && c.IsFalse() &&
			strings.Contains(c.Message, `User system:serviceaccount:waits:default cannot get, list, watch resource "configmaps"`)
	})
	allow(t, r, "waits")
	awaitReady(t, r, s)
}

func everyChangeIsTold(t *testing.T, r *eventrig.Rig) {
	r.Namespace(t, "told", nil)
	allow(t, r, "told")
	r.Create(t, configMap("told", "there"))
	refs, whole := configMaps("told", "refs", sourcesv1.ReferenceMode), configMaps("told", "whole", sourcesv1.ResourceMode)
	whole.Spec.Resources[0].LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"tell": "whole"}}
	r.Create(t, refs, whole)
	awaitReady(t, r, refs)
	awaitReady(t, r, whole)
	object := configMap("told", "cart")
	object.Labels = map[string]string{"tell": "whole"}
	r.Create(t, object, configMap("told", "other"))
	eventrig.Change(t, r, object, func(m *corev1.ConfigMap) { m.Data = map[string]string{"a": "b"} })
	if err := r.Client.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	expect(t, r, refs, "ref.add cart", "ref.add other", "ref.update cart", "ref.delete cart")
	expect(t, r, whole, "resource.add cart", "resource.update cart", "resource.delete cart")
	data := string(r.Plane.Stored(t.Context(), apiserver.StreamOf(whole).ID)[1].Data())
	if !strings.Contains(data, `"kind":"ConfigMap"`) || !strings.Contains(data, `"a":"b"`) {
		t.Errorf("a whole object: %s", data)
	}
	reader, ok := r.Plane.Reader(apiserver.Kind, client.ObjectKeyFromObject(refs))
	if !ok || reader.Subscriber.URL != "http://sink.told.svc.cluster.local" {
		t.Errorf("reader %+v", reader)
	}
	if err := r.Client.Delete(t.Context(), refs); err != nil {
		t.Fatal(err)
	}
	rigs.Eventually(t, "the source's reader and stream are gone", func(ctx context.Context) bool {
		_, has := r.Plane.Reader(apiserver.Kind, client.ObjectKeyFromObject(refs))
		_, _, err := r.Plane.Bounds(ctx, apiserver.StreamOf(refs).ID)
		return !has && err != nil
	})
}

func namespacesComeAndGo(t *testing.T, r *eventrig.Rig) {
	r.Namespace(t, "chooses", nil)
	r.Namespace(t, "chosen", map[string]string{"watch": "me"})
	r.Namespace(t, "later", nil)
	allow(t, r, "chooses")
	s := configMaps("chooses", "s", sourcesv1.ReferenceMode)
	s.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"watch": "me"}}
	r.Create(t, s)
	awaitReady(t, r, s)
	r.Create(t, configMap("chosen", "one"), configMap("later", "unseen"))
	expect(t, r, s, "ref.add one")
	eventrig.Change(t, r, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "later"}}, func(n *corev1.Namespace) { n.Labels = map[string]string{"watch": "me"} })
	rigs.Eventually(t, "both namespaces are watched", func(ctx context.Context) bool {
		return r.Client.Get(ctx, client.ObjectKeyFromObject(s), s) == nil && s.IsReady() && slices.Equal(s.Status.Namespaces, []string{"chosen", "later"})
	})
	r.Create(t, configMap("later", "two"))
	expect(t, r, s, "ref.add one", "ref.add two")
}

func aKindThatIsNotServedIsNamed(t *testing.T, r *eventrig.Rig) {
	r.Namespace(t, "unserved", nil)
	s := configMaps("unserved", "s", sourcesv1.ReferenceMode)
	s.Spec.Resources[0].Kind, s.Spec.Resources[0].APIVersion = "Cart", "shop.example/v1"
	r.Create(t, s)
	rigs.Eventually(t, "the kind is named", func(ctx context.Context) bool {
		c := s.Status.GetCondition(conditions.Ready)
		return r.Client.Get(ctx, client.ObjectKeyFromObject(s), s) == nil && c.IsFalse() && strings.Contains(c.Message, "Cart of shop.example/v1")
	})
}
