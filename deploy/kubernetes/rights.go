package kubernetes

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed base/accounts.yaml base/roles.yaml base/broker-roles.yaml base/broker-policy.yaml
var base embed.FS

// Rights are the accounts of Ebb's processes on a cluster, what they may do, and what holds them to less than a role can say: for whoever runs
// the same processes beside a cluster.
func Rights() ([]*unstructured.Unstructured, error) {
	var rights []*unstructured.Unstructured
	for _, name := range []string{"accounts", "roles", "broker-roles", "broker-policy"} {
		data, err := base.ReadFile("base/" + name + ".yaml")
		if err != nil {
			return nil, err
		}
		objects, err := Decode(data)
		if err != nil {
			return nil, fmt.Errorf("%s.yaml: %w", name, err)
		}
		rights = append(rights, objects...)
	}
	return rights, nil
}

// Decode are the objects of a manifest.
func Decode(manifest []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	var objects []*unstructured.Unstructured
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("object %d: %w", len(objects)+1, err)
		}
		if o.Object != nil {
			objects = append(objects, o)
		}
	}
}
