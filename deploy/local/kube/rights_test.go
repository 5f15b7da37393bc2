package kube

import (
	"errors"
	"slices"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"ebb.dev/ebb/test/apiserver"
)

// Nobody of Ebb's processes is an admin, and what made them so in older state folders is taken away.
func TestEachProcessMayWhatItDoes(t *testing.T) {
	c := apiserver.Start(t, apiserver.Options{})
	admin := kubernetes.NewForConfigOrDie(c.Config)
	former := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: formerBinding}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "ebb:node-agent"}},
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(t.Context(), former, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	cluster, err := NewCluster(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second start finds everything
		if err := errors.Join(cluster.Bootstrap(t.Context()), cluster.Grant(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Get(t.Context(), formerBinding, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the former binding: %v", err)
	}
	users := map[string][]string{}
	light := settings(t)
	light.Kubelet = false
	for _, wanted := range light.certificates() {
		users[wanted.Name] = append([]string{wanted.User}, wanted.Groups...)
	}
	beside := settings(t)
	for _, wanted := range beside.certificates() {
		if wanted.Name == UserNodeAgent && len(wanted.Groups) > 0 {
			t.Errorf("a node agent beside a kubelet is of %v", wanted.Groups)
		}
	}
	users["node-agent beside a kubelet"] = users[UserNodeAgent][:1]
	for _, q := range []struct {
		user, verb, group, resource, sub, namespace, name string
		want                                              bool
	}{
		{UserControlPlane, "patch", "apps", "deployments", "scale", "default", "", true},
		{UserControlPlane, "update", "discovery.k8s.io", "endpointslices", "", "ebb-system", "", true},
		{UserControlPlane, "update", "discovery.k8s.io", "endpointslices", "", "default", "", false},
		{UserControlPlane, "create", "", "pods", "", "default", "", false},
		{UserControlPlane, "list", "", "secrets", "", "default", "", false},
		{UserBroker, "update", "eventing.knative.dev", "brokers", "status", "default", "", true},
		{UserBroker, "create", "", "serviceaccounts", "token", "knative-eventing", "ebb-broker", true},
		{UserBroker, "create", "rbac.authorization.k8s.io", "clusterrolebindings", "", "", "", false},
		{UserBroker, "delete", "", "pods", "", "default", "", false},
		{UserNodeAgent, "create", "", "pods", "binding", "default", "", true},
		{UserNodeAgent, "create", "", "serviceaccounts", "token", "default", "app", true},
		{UserNodeAgent, "update", "", "secrets", "", "default", "", false},
		{UserNodeAgent, "create", "", "pods", "exec", "default", "", false},
		{"node-agent beside a kubelet", "create", "", "serviceaccounts", "token", "ebb-system", "ebb-gateway", true},
		{"node-agent beside a kubelet", "create", "", "serviceaccounts", "token", "ebb-system", "ebb-control-plane", false},
		{"node-agent beside a kubelet", "list", "", "secrets", "", "default", "", false},
		{"node-agent beside a kubelet", "patch", "", "nodes", "", "", "laptop", true},
		{UserDNS, "list", "", "services", "", "", "", true},
		{UserDNS, "list", "", "configmaps", "", "", "", false},
	} {
		who := users[q.user]
		review, err := admin.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User: who[0], Groups: slices.Concat(who[1:], []string{"system:authenticated"}),
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: q.verb, Group: q.group, Resource: q.resource, Subresource: q.sub, Namespace: q.namespace, Name: q.name,
				},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if review.Status.Allowed != q.want {
			t.Errorf("may %s (%s) %s %s/%s %s in %q: %t", q.user, who, q.verb, q.resource, q.sub, q.name, q.namespace, review.Status.Allowed)
		}
	}
}
