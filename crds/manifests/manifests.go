package manifests

import (
	"embed"
	"fmt"
	"io/fs"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/config"
)

//go:embed *.yaml configmaps/*.yaml configmaps/eventing/*.yaml
var files embed.FS

// CustomResourceDefinitions returns those of all our kinds, by name.
func CustomResourceDefinitions() []*apiextensionsv1.CustomResourceDefinition {
	return load[apiextensionsv1.CustomResourceDefinition]("*.yaml")
}

// ConfigMaps returns the default ConfigMaps of namespace knative-serving, by name, each with the checksum of its example.
func ConfigMaps() []*corev1.ConfigMap { return configMaps("configmaps/*.yaml") }

// EventingConfigMaps returns those of namespace knative-eventing, in the same way.
func EventingConfigMaps() []*corev1.ConfigMap { return configMaps("configmaps/eventing/*.yaml") }

func configMaps(pattern string) []*corev1.ConfigMap {
	maps := load[corev1.ConfigMap](pattern)
	for _, m := range maps {
		m.Annotations = map[string]string{config.ExampleChecksumAnnotationKey: config.ExampleChecksum(m.Data[config.ExampleKey])}
	}
	return maps
}

func load[T any](pattern string) []*T {
	names, err := fs.Glob(files, pattern)
	if err != nil {
		panic(fmt.Sprintf("manifests: %s: %v", pattern, err)) // compiled in: tests read all of them
	}
	objects := make([]*T, 0, len(names))
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			panic(fmt.Sprintf("manifests: %s: %v", name, err))
		}
		object := new(T)
		if err := yaml.UnmarshalStrict(data, object); err != nil {
			panic(fmt.Sprintf("manifests: %s: %v", name, err))
		}
		objects = append(objects, object)
	}
	return objects
}
