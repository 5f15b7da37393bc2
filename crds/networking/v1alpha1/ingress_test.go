package v1alpha1

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func ingress(t *testing.T, spec string) *Ingress {
	t.Helper()
	i := &Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop"}}
	if err := yaml.UnmarshalStrict([]byte(spec), &i.Spec); err != nil {
		t.Fatal(err)
	}
	return i
}

const backend = "serviceName: shop, serviceNamespace: default, servicePort: 80"

func TestDefaults(t *testing.T) {
	i := ingress(t, `{rules: [{http: {paths: [{splits: [{`+backend+`}]}]}}, {visibility: ClusterLocal}, {http: {paths: [{splits: [{`+backend+`}, {`+backend+`, percent: 100}]}]}}]}`)
	i.SetDefaults()
	want := ingress(t, `{rules: [{visibility: ExternalIP, http: {paths: [{splits: [{`+backend+`, percent: 100}]}]}}, {visibility: ClusterLocal},
		{visibility: ExternalIP, http: {paths: [{splits: [{`+backend+`}, {`+backend+`, percent: 100}]}]}}]}`)
	if diff := cmp.Diff(want, i); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

func TestValidationNamesTheField(t *testing.T) {
	for _, c := range []struct {
		spec string
		want []string
	}{
		{`{rules: [{http: {paths: [{path: /a, splits: [{` + backend + `, percent: 30}, {` + backend + `, percent: 70}]}]}}]}`, nil},
		{`{rules: [{http: {paths: [{splits: [{serviceName: shop, serviceNamespace: default, servicePort: web}]}]}}], tls: [{secretName: s, secretNamespace: n}], httpOption: Redirected}`, nil},
		{`{}`, []string{"spec.rules"}},
		{`{rules: [{}], tls: [{}], httpOption: Maybe}`, []string{"spec.rules[0].http", "spec.tls[0].secretName", "spec.tls[0].secretNamespace", "spec.httpOption"}},
		{`{rules: [{http: {paths: []}}]}`, []string{"spec.rules[0].http.paths"}},
		{`{rules: [{visibility: Secret, http: {paths: [{splits: []}]}}]}`, []string{"spec.rules[0].visibility", "spec.rules[0].http.paths[0].splits"}},
		{`{rules: [{http: {paths: [{splits: [{percent: 101}]}]}}]}`, []string{
			"spec.rules[0].http.paths[0].splits[0].percent", "spec.rules[0].http.paths[0].splits[0].serviceNamespace",
			"spec.rules[0].http.paths[0].splits[0].serviceName", "spec.rules[0].http.paths[0].splits[0].servicePort", "spec.rules[0].http.paths[0].splits"}},
		{`{rules: [{http: {paths: [{splits: [{` + strings.Replace(backend, "default", "other", 1) + `}]}]}}]}`, []string{"spec.rules[0].http.paths[0].splits[0].serviceNamespace"}},
	} {
		var got []string
		for _, err := range ingress(t, c.spec).Validate() {
			got = append(got, err.Field)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.spec, got, c.want)
		}
	}
}

func TestTLSIsThatOfTheRulesHosts(t *testing.T) {
	i := ingress(t, `{rules: [{visibility: ExternalIP, hosts: [a, b]}, {visibility: ClusterLocal, hosts: [c]}],
		tls: [{hosts: [a, b, x], secretName: both}, {hosts: [a], secretName: one}, {hosts: [c], secretName: local}]}`)
	for visibility, want := range map[IngressVisibility]string{IngressVisibilityExternalIP: "both", IngressVisibilityClusterLocal: "local"} {
		if got := i.TLSForVisibility(visibility); len(got) != 1 || got[0].SecretName != want {
			t.Errorf("%s: %v, want %s", visibility, got, want)
		}
	}
	i.Spec.Rules[0].Hosts = nil
	if got := i.TLSForVisibility(IngressVisibilityExternalIP); len(got) != 0 {
		t.Errorf("a rule without hosts has TLS %v", got)
	}
}

func TestAnIngressIsReadyWhenConfiguredAndReachable(t *testing.T) {
	var i Ingress
	i.Generation = 2
	m := i.Status.Mark(metav1.Now())
	m.Initialize()
	m.NetworkConfigured()
	m.LoadBalancerNotReady()
	if c := i.Status.GetCondition(IngressConditionReady); !c.IsUnknown() || c.Reason != "Uninitialized" || c.Message != "Waiting for load balancer to be ready" {
		t.Errorf("without an address: %+v", c)
	}
	m.LoadBalancerReady([]LoadBalancerIngressStatus{{DomainInternal: "gateway.ebb-system.svc"}}, nil)
	if i.IsReady() {
		t.Error("ready although the latest spec has not been looked at")
	}
	i.Status.ObservedGeneration = 2
	if !i.IsReady() || i.Status.PublicLoadBalancer.Ingress[0].DomainInternal != "gateway.ebb-system.svc" {
		t.Errorf("not ready: %+v", i.Status)
	}
	m.ResourceNotOwned("Secret", "s")
	if c := i.Status.GetCondition(IngressConditionReady); !c.IsFalse() || c.Message != `There is an existing Secret "s" that we do not own.` {
		t.Errorf("%+v", c)
	}
}
