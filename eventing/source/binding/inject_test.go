package binding

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/duck"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

var contract = Contract{Sink: "http://sink", Overrides: &duck.CloudEventOverrides{Extensions: map[string]string{"stage": "test"}}}

func TestEveryContainerIsTold(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		contract Contract
		want     string // "" if nothing changes
	}{
		{
			"a Deployment with an init container",
			`{kind: Deployment, spec: {replicas: 1, template: {spec: {initContainers: [{name: i}], containers: [{name: a, env: [{name: X, value: y}]}, {name: b}]}}}}`,
			contract,
			`{kind: Deployment, spec: {replicas: 1, template: {spec: {
				initContainers: [{name: i, env: [{name: K_SINK, value: http://sink}, {name: K_CE_OVERRIDES, value: '{"extensions":{"stage":"test"}}'}]}],
				containers: [
					{name: a, env: [{name: X, value: y}, {name: K_SINK, value: http://sink}, {name: K_CE_OVERRIDES, value: '{"extensions":{"stage":"test"}}'}]},
					{name: b, env: [{name: K_SINK, value: http://sink}, {name: K_CE_OVERRIDES, value: '{"extensions":{"stage":"test"}}'}]}]}}}}`,
		},
		{
			"a CronJob, with roots",
			`{kind: CronJob, spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a}]}}}}}}`,
			Contract{Sink: "https://sink", Roots: ptr.To("PEM")},
			`{kind: CronJob, spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, env: [
				{name: K_SINK, value: https://sink}, {name: K_CA_CERTS, value: PEM}, {name: K_CE_OVERRIDES, value: ""}]}]}}}}}}`,
		},
		{
			"another sink, in place of what was said before, whoever said it",
			`{kind: Service, spec: {template: {spec: {containers: [{env: [{name: K_SINK, valueFrom: {}}, {name: K_CA_CERTS, value: PEM}, {name: X, value: y}]}]}}}}`,
			Contract{Sink: "http://other"},
			`{kind: Service, spec: {template: {spec: {containers: [{env: [{name: X, value: y}, {name: K_SINK, value: http://other}, {name: K_CE_OVERRIDES, value: ""}]}]}}}}`,
		},
		{
			"what is told already, with overrides written otherwise",
			`{kind: Deployment, spec: {template: {spec: {containers: [{name: a, env: [{name: K_CE_OVERRIDES, value: '{"extensions": {"stage": "\u0074est"}}'}, {name: K_SINK, value: http://sink}]}]}}}}`,
			contract, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := object(t, tt.in)
			want := tt.want
			if want == "" {
				want = tt.in
			}
			if changed, err := Bind(got, tt.contract); err != nil || changed != (tt.want != "") {
				t.Errorf("changed %v, %v", changed, err)
			}
			if diff := cmp.Diff(object(t, want).Object, got.Object); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if changed, err := Bind(got, tt.contract); changed || err != nil {
				t.Errorf("told twice: %v, %v", changed, err)
			}
		})
	}
}

func TestWhatWasToldIsTakenBack(t *testing.T) {
	in := `{kind: Deployment, spec: {replicas: 1, template: {spec: {initContainers: [{name: i}], containers: [{name: a, env: [{name: X, value: y}]}]}}}}`
	o := object(t, in)
	if _, err := Bind(o, contract); err != nil {
		t.Fatal(err)
	}
	if changed, err := Unbind(o); !changed || err != nil {
		t.Errorf("%v, %v", changed, err)
	}
	if diff := cmp.Diff(object(t, in).Object, o.Object); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatRunsNoPodsByATemplateIsNamed(t *testing.T) {
	if _, err := Bind(object(t, `{kind: ConfigMap, data: {}}`), contract); err == nil || err.Error() != "ConfigMap has no .spec.template.spec: name a kind that has a template of pods, such as Deployment" {
		t.Error(err)
	}
}
