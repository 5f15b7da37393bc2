package manifests

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/eventing"
)

func TestEveryEventingConfigMapShipsAndSaysTheDefaults(t *testing.T) {
	defaults := config.NewSet("cluster.local")
	var names []string
	for _, m := range EventingConfigMaps() {
		names = append(names, m.Name)
		if m.Namespace != eventing.SystemNamespace || m.Labels["app.kubernetes.io/name"] != eventing.SystemNamespace {
			t.Errorf("%s: namespace %q, labels %v", m.Name, m.Namespace, m.Labels)
		}
		for what, data := range map[string]map[string]string{"the ConfigMap": m.Data, "its example": example(t, m.Data)} {
			shown, warnings, err := defaults.WithIn(m.Namespace, m.Name, data)
			if err != nil || len(warnings) > 0 {
				t.Errorf("%s: %s: warnings %q, error %v", m.Name, what, warnings, err)
				continue
			}
			if diff := cmp.Diff(defaults.Eventing, shown.Eventing, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: its defaults (-) and %s (+):\n%s", m.Name, what, diff)
			}
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(slices.Sorted(slices.Values(config.EventingNames())), names); diff != "" {
		t.Errorf("ConfigMaps that are read (-) and that ship (+):\n%s", diff)
	}
}

func example(t *testing.T, data map[string]string) map[string]string {
	t.Helper()
	var example map[string]string
	if err := yaml.UnmarshalStrict([]byte(data[config.ExampleKey]), &example); err != nil {
		t.Error(err)
	}
	return example
}

// What upstream's tools look for by label.
func TestDefinitionsCarryTheLabelsOfTheirDucks(t *testing.T) {
	want := map[string][]string{
		"duck.knative.dev/addressable": {"brokers", "channels", "inmemorychannels", "jobsinks", "kafkachannels", "kafkasinks",
			"natsjetstreamchannels", "parallels", "requestreplies", "routes", "sequences", "services"},
		"messaging.knative.dev/subscribable": {"channels", "inmemorychannels", "kafkachannels", "natsjetstreamchannels"},
		"duck.knative.dev/source":            {"apiserversources", "containersources", "cronjobsources", "kafkasources", "pingsources", "sinkbindings"},
		"duck.knative.dev/binding":           {"sinkbindings"},
	}
	got := map[string][]string{}
	for _, definition := range CustomResourceDefinitions() {
		for label := range want {
			if definition.Labels[label] == "true" {
				got[label] = append(got[label], definition.Spec.Names.Plural)
			}
		}
	}
	for label := range got {
		slices.Sort(got[label])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}
