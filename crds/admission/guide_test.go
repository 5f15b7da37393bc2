package admission

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/manifests"
)

// guide returns the folder of a public guide's manifests. They lie beside the repository, or where EBB_GUIDE says.
func guide(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("EBB_GUIDE")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "guide")
	}
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("the guide's manifests are not here: %v; set EBB_GUIDE to their folder", err)
	}
	return folder
}

// shipped is the Set of a cluster with the ConfigMaps that Ebb ships.
func shipped(t testing.TB) *config.Set {
	t.Helper()
	set := config.NewSet("cluster.local")
	for _, m := range manifests.ConfigMaps() {
		next, _, err := set.With(m.Name, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		set = next
	}
	for _, m := range manifests.EventingConfigMaps() {
		next, _, err := set.WithIn(m.Namespace, m.Name, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		set = next
	}
	return set
}

func TestEveryObjectOfTheGuideIsAdmittedUnmodified(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(guide(t), "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	services, events := 0, 0
	for _, file := range files {
		for _, object := range objectsIn(t, file) {
			switch kind := object.GroupVersionKind(); {
			case kind == serviceKind:
				services++
			case eventingKinds[kind] != nil:
				events++
			default:
				continue
			}
			if object.GetNamespace() == "" {
				object.SetNamespace("default")
			}
			created := admit(t, object, nil)
			if created.Refusal != "" {
				t.Errorf("%s: %s", filepath.Base(file), created.Refusal)
				continue
			}
			// kubectl replace, and kubectl apply of the same file, send it again as it was written.
			if again := admit(t, object, created.Object); again.Refusal != "" {
				t.Errorf("%s, applied again: %s", filepath.Base(file), again.Refusal)
			}
		}
	}
	if services < 20 {
		t.Errorf("the guide has %d Services, expected at least 20", services)
	}
	if events < 15 {
		t.Errorf("the guide has %d Brokers, Triggers and sources, expected at least 15", events)
	}
}

func objectsIn(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// admit asks for object to be created, or to replace old, by alice. An update keeps the annotations that the system wrote.
func admit(t *testing.T, object *unstructured.Unstructured, old any) Response {
	t.Helper()
	request := Request{
		Kind: object.GroupVersionKind(), Operation: admissionv1.Create,
		Namespace: object.GetNamespace(), Name: object.GetName(), User: "alice", New: encode(t, object.Object),
	}
	if old != nil {
		request.Operation, request.Old = admissionv1.Update, encode(t, old)
		again := object.DeepCopy()
		stored := &unstructured.Unstructured{}
		if err := stored.UnmarshalJSON(request.Old); err != nil {
			t.Fatal(err)
		}
		again.SetAnnotations(stored.GetAnnotations())
		request.New = encode(t, again.Object)
	}
	return Admit(request, shipped(t))
}
