package validation

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving/defaulting"
	v1 "ebb.dev/ebb/crds/serving/v1"
)

// cluster returns the ConfigMaps of a cluster that sets the given keys of config-features and config-defaults.
func cluster(t testing.TB, features, defaults map[string]string) *config.Set {
	t.Helper()
	set := config.NewSet("cluster.local")
	for name, data := range map[string]map[string]string{config.FeaturesName: features, config.DefaultsName: defaults} {
		next, warnings, err := set.With(name, data)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %q %v", name, warnings, err)
		}
		set = next
	}
	return set
}

func on(features ...config.Feature) map[string]string {
	data := map[string]string{}
	for _, f := range features {
		data[string(f)] = "Enabled"
	}
	return data
}

// service returns Service default/shop with the manifest's fields over the least one, and its defaults.
func service(t testing.TB, set *config.Set, manifest string) *v1.Service {
	t.Helper()
	s := &v1.Service{}
	s.Name, s.Namespace = "shop", "default"
	if err := yaml.UnmarshalStrict([]byte(manifest), s); err != nil {
		t.Fatalf("%v\n%s", err, manifest)
	}
	defaulting.Service(s, nil, defaulting.Input{Defaults: set.Defaults, Features: set.Features, User: "alice"})
	return s
}

// pod returns the manifest of a Service whose template's spec is the given YAML.
func podOf(spec string) string {
	return "spec: {template: {spec: {" + spec + "}}}"
}

// container is the same for a spec of one container, which has an image.
func container(rest string) string {
	return podOf("containers: [{image: shop, " + rest + "}]")
}

// template is the same for the template's metadata.
func templateMeta(meta string) string {
	return "spec: {template: {metadata: {" + meta + "}, spec: {containers: [{image: shop}]}}}"
}

// trafficOf is the same for traffic.
func trafficOf(targets string) string {
	return "spec: {traffic: [" + targets + "], template: {spec: {containers: [{image: shop}]}}}"
}

// example is a manifest of a Service and what is wrong with it: "path: part of the text" for each error, in any order.
type example struct {
	name     string
	manifest string
	features map[string]string
	defaults map[string]string
	want     []string
}

func run(t *testing.T, cases []example) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			set := cluster(t, c.features, c.defaults)
			got := Service(service(t, set, c.manifest), nil, set)
			expect(t, c.want, got.Errors)
		})
	}
}

func expect(t *testing.T, want []string, got field.ErrorList) {
	t.Helper()
	missing := slices.Clone(want)
	for _, err := range got {
		i := slices.IndexFunc(missing, func(w string) bool {
			path, text, _ := strings.Cut(w, ": ")
			return path == err.Field && strings.Contains(err.Error(), text)
		})
		if i < 0 {
			t.Errorf("not expected: %v", err)
			continue
		}
		missing = slices.Delete(missing, i, i+1)
	}
	for _, w := range missing {
		t.Errorf("no error %q", w)
	}
}
