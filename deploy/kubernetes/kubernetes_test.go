package kubernetes

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/admission"
	"ebb.dev/ebb/crds/manifests"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/test/apiserver"
)

// kustomizations are what users build upon.
var kustomizations = []string{".", "node"}

// documents builds a kustomization and decodes what it makes, strictly: a field that does not exist is a mistake.
func documents(t *testing.T, c *apiserver.Cluster, folder string) []runtime.Object {
	t.Helper()
	decoder := serializer.NewCodecFactory(clientgoscheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(kubectl(t, c, "kustomize", folder))))
	var objects []runtime.Object
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		objects = append(objects, object)
	}
}

func kubectl(t *testing.T, c *apiserver.Cluster, args ...string) string {
	t.Helper()
	cmd := exec.Command(c.Binary, append([]string{"kubectl", "--kubeconfig", c.Kubeconfig}, args...)...)
	var failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, failure.String())
	}
	if failure.Len() > 0 {
		t.Errorf("kubectl %s warns: %s", strings.Join(args, " "), failure.String())
	}
	return string(out)
}

// The API server takes everything, and has nothing to warn of: Pod Security warns of what a namespace's level refuses.
func TestEveryManifestIsTaken(t *testing.T) {
	c := apiserver.Start(t, apiserver.Options{})
	for _, folder := range kustomizations {
		n := len(documents(t, c, folder))
		out := kubectl(t, c, "apply", "--server-side", "--force-conflicts", "--validate=strict", "-k", folder)
		if applied := strings.Count(out, "serverside-applied"); applied != n || n == 0 {
			t.Errorf("%s: %d of %d objects applied:\n%s", folder, applied, n, out)
		}
	}
	mayWhatItDoes(t, c)
	nodesAreGuarded(t, c)
	accountsAreGuarded(t, c)
}

// mayWhatItDoes asks the API server what the accounts may.
func mayWhatItDoes(t *testing.T, c *apiserver.Cluster) {
	const plane, node, gateway = "ebb-control-plane", "ebb-node", "ebb-gateway"
	for _, q := range []struct {
		account, verb, what, namespace string
		want                           bool
	}{
		{plane, "get", "secrets/ebb-ca", "ebb-system", true},
		{plane, "update", "secrets/ebb-ca", "ebb-system", true},
		{plane, "list", "secrets", "default", false},
		{plane, "update", "secrets/other", "default", false},
		{plane, "create", "pods", "default", false},
		{plane, "delete", "pods", "default", false},
		{plane, "patch", "deployments.apps/scale", "default", true},
		{plane, "update", "configmaps/ebb-trust", "default", true},
		{plane, "update", "configmaps/other", "default", false},
		{plane, "get", "configmaps/other", "default", false},
		{plane, "create", "clusterroles.rbac.authorization.k8s.io", "", false},
		{plane, "delete", "customresourcedefinitions.apiextensions.k8s.io", "", false},
		{node, "patch", "nodes", "", true},
		{node, "get", "secrets", "ebb-system", false},
		{gateway, "get", "secrets", "ebb-system", false},
		{gateway, "list", "pods", "default", false},
	} {
		cmd := exec.Command(c.Binary, "kubectl", "--kubeconfig", c.Kubeconfig, "auth", "can-i", q.verb, q.what, "--namespace", q.namespace,
			"--as", "system:serviceaccount:ebb-system:"+q.account)
		out, _ := cmd.Output() // no is an error
		if got := strings.HasPrefix(string(out), "yes"); got != q.want {
			t.Errorf("may %s %s %s in %q: %t", q.account, q.verb, q.what, q.namespace, got)
		}
	}
}

// nodesAreGuarded holds what the policy says: a node agent writes its own annotations on its own Node.
func nodesAreGuarded(t *testing.T, c *apiserver.Cluster) {
	config := rest.CopyConfig(c.Config)
	admin := kubernetes.NewForConfigOrDie(config)
	for _, name := range []string{"n1", "n2"} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"other": "1", "third": "1"}}}
		if _, err := admin.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:ebb-system:ebb-node",
		Extra:    map[string][]string{"authentication.kubernetes.io/node-name": {"n1"}},
	}
	agent := kubernetes.NewForConfigOrDie(config)
	patch := func(node, body string) error {
		_, err := agent.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, []byte(body), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	const own = `{"metadata":{"annotations":{"ebb.dev/replica-proxies":"2","ebb.dev/replica-proxy-address":"10.0.0.1"}}}`
	// A policy is in force a moment after it was written.
	apiserver.Eventually(t, "the policy is in force", func(context.Context) bool { return patch("n2", own) != nil })
	if err := patch("n1", own); err != nil {
		t.Errorf("its own node: %v", err)
	}
	for what, body := range map[string]string{
		"another annotation":       `{"metadata":{"annotations":{"other":"2"}}}`,
		"no other annotation":      `{"metadata":{"annotations":{"other":null}}}`,
		"a label":                  `{"metadata":{"labels":{"ebb.dev/replica-proxies":"2"}}}`,
		"a taint":                  `{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}`,
		"that nothing comes there": `{"spec":{"unschedulable":true}}`,
	} {
		if err := patch("n1", body); !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
			t.Errorf("%s was written: %v", what, err)
		}
	}
}

// accountsAreGuarded holds what the policy says: the broker makes accounts to send as, and asks tokens of no others.
func accountsAreGuarded(t *testing.T, c *apiserver.Cluster) {
	config := rest.CopyConfig(c.Config)
	admin := kubernetes.NewForConfigOrDie(config).CoreV1().ServiceAccounts("default")
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:knative-eventing:ebb-broker"}
	asBroker := kubernetes.NewForConfigOrDie(config).CoreV1()
	broker := asBroker.ServiceAccounts("default")
	account := func(name string, labels map[string]string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	token := func(name string, audiences ...string) error {
		_, err := broker.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}, metav1.CreateOptions{})
		return err
	}
	if _, err := admin.Create(t.Context(), account("powerful", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apiserver.Eventually(t, "the policy is in force", func(context.Context) bool {
		return apierrors.IsForbidden(token("powerful", "a")) || apierrors.IsInvalid(token("powerful", "a"))
	})
	itself := func(audience string) error {
		_, err := asBroker.ServiceAccounts("knative-eventing").CreateToken(t.Context(), "ebb-broker",
			&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}}}, metav1.CreateOptions{})
		return err
	}
	if err := itself("ebb"); err != nil {
		t.Errorf("a token of its own: %v", err)
	}
	ours := map[string]string{"eventing.knative.dev/oidc": "enabled"}
	short := identity.NameOf(schema.GroupKind{Group: "eventing.knative.dev", Kind: "Trigger"}, "t")
	for _, name := range []string{short, identity.NameOf(schema.GroupKind{Group: "messaging.knative.dev", Kind: "Subscription"}, strings.Repeat("a-long-name-", 8))} {
		if _, err := broker.Create(t.Context(), account(name, ours), metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
		if err := token(name, "a"); err != nil {
			t.Errorf("a token of %s: %v", name, err)
		}
	}
	_, unlabelled := broker.Create(t.Context(), account("u"+short, nil), metav1.CreateOptions{})
	_, misnamed := broker.Create(t.Context(), account("misnamed", ours), metav1.CreateOptions{})
	for what, err := range map[string]error{
		"a token for the API server": token(short), "its own for the API server": itself("https://kubernetes.default.svc"), "a token for several": token(short, "a", "b"),
		"an account without the label": unlabelled, "an account of another name": misnamed,
		"no account of others": broker.Delete(t.Context(), "powerful", metav1.DeleteOptions{}),
	} {
		if !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := broker.Delete(t.Context(), short, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// What is granted by name is what there is: a new kind or webhook needs a line in the role.
func TestTheRoleNamesEveryKindAndWebhook(t *testing.T) {
	var crds []string
	for _, crd := range manifests.CustomResourceDefinitions() {
		crds = append(crds, crd.Name)
	}
	slices.Sort(crds)
	data, err := os.ReadFile("base/roles.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(bytes.SplitN(data, []byte("\n---\n"), 2)[0], &role); err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[string][]string{
		"customresourcedefinitions":       crds,
		"mutatingwebhookconfigurations":   {admission.MutatingName},
		"validatingwebhookconfigurations": {admission.ConfigName},
	} {
		var named []string
		for _, rule := range role.Rules {
			if slices.Contains(rule.Resources, resource) {
				named = append(named, rule.ResourceNames...)
			}
		}
		if !slices.Equal(named, want) {
			t.Errorf("%s: the role names %v, there are %v", resource, named, want)
		}
	}
}
