package defaulting

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/eventing"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// completers complete the manifest of a kind, which replaces old if there is one, and return it as YAML.
var completers = map[schema.GroupVersionKind]func(manifest, old []byte, in Input) ([]byte, error){
	kind("eventing.knative.dev/v1", "Broker"):                      completer(Broker),
	kind("eventing.knative.dev/v1", "Trigger"):                     completer(Trigger),
	kind("eventing.knative.dev/v1beta2", "EventType"):              completer(EventTypeV1Beta2),
	kind("eventing.knative.dev/v1beta3", "EventType"):              completer(EventType),
	kind("eventing.knative.dev/v1alpha1", "EventPolicy"):           completer(EventPolicy),
	kind("eventing.knative.dev/v1alpha1", "RequestReply"):          completer(RequestReply),
	kind("eventing.knative.dev/v1alpha1", "KafkaSink"):             completer(KafkaSink),
	kind("messaging.knative.dev/v1", "Channel"):                    completer(Channel),
	kind("messaging.knative.dev/v1", "InMemoryChannel"):            completer(InMemoryChannel),
	kind("messaging.knative.dev/v1", "Subscription"):               completer(Subscription),
	kind("messaging.knative.dev/v1beta1", "KafkaChannel"):          completer(KafkaChannel),
	kind("messaging.knative.dev/v1alpha1", "NatsJetStreamChannel"): completer(NatsJetStreamChannel),
	kind("flows.knative.dev/v1", "Sequence"):                       completer(Sequence),
	kind("flows.knative.dev/v1", "Parallel"):                       completer(Parallel),
	kind("sources.knative.dev/v1", "PingSource"):                   completer(PingSource),
	kind("sources.knative.dev/v1", "CronJobSource"):                completer(CronJobSource),
	kind("sources.knative.dev/v1", "ApiServerSource"):              completer(APIServerSource),
	kind("sources.knative.dev/v1", "ContainerSource"):              completer(ContainerSource),
	kind("sources.knative.dev/v1", "SinkBinding"):                  completer(SinkBinding),
	kind("sources.knative.dev/v1", "KafkaSource"):                  completer(KafkaSource),
	kind("sources.knative.dev/v1beta1", "KafkaSource"):             completer(KafkaSourceV1Beta1),
	kind("sinks.knative.dev/v1alpha1", "JobSink"):                  completer(JobSink),
}

func kind(apiVersion, kind string) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(apiVersion, kind)
}

func completer[T any](complete func(object, old *T, in Input)) func(manifest, old []byte, in Input) ([]byte, error) {
	return func(manifest, before []byte, in Input) ([]byte, error) {
		object, old := new(T), (*T)(nil)
		if err := yaml.UnmarshalStrict(manifest, object); err != nil {
			return nil, err
		}
		if len(before) > 0 {
			old = new(T)
			if err := yaml.UnmarshalStrict(before, old); err != nil {
				return nil, err
			}
		}
		complete(object, old, in)
		return yaml.Marshal(object)
	}
}

// Each folder of testdata holds what a user writes (in.yaml), what it replaces (old.yaml, if anything), the settings that differ from
// the defaults (config.yaml, ConfigMaps by name) and what is stored (out.yaml). Its README says what it proves.
func TestGoldens(t *testing.T) {
	folders, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range folders {
		folder := filepath.Dir(file)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			in := settings(t, folder)
			got := complete(t, read(t, folder, "in.yaml"), read(t, folder, "old.yaml"), in)
			golden := filepath.Join(folder, "out.yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(read(t, folder, "out.yaml")), string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
			if diff := cmp.Diff(string(got), string(complete(t, got, nil, in))); diff != "" {
				t.Errorf("completed twice (-once +twice):\n%s", diff)
			}
		})
	}
}

func complete(t *testing.T, manifest, old []byte, in Input) []byte {
	t.Helper()
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(manifest, &meta); err != nil {
		t.Fatal(err)
	}
	apply, known := completers[meta.GroupVersionKind()]
	if !known {
		t.Fatalf("unknown kind %v", meta.GroupVersionKind())
	}
	out, err := apply(manifest, old, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// read returns a file of folder, nothing where it is not there.
func read(t *testing.T, folder, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return data
}

func settings(t *testing.T, folder string) Input {
	t.Helper()
	set := config.NewSet("cluster.local")
	var maps map[string]map[string]string
	if err := yaml.UnmarshalStrict(read(t, folder, "config.yaml"), &maps); err != nil {
		t.Fatal(err)
	}
	for name, data := range maps {
		next, warnings, err := set.WithIn(eventing.SystemNamespace, name, data)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v %v", name, warnings, err)
		}
		set = next
	}
	return Input{Config: set.Eventing}
}

func TestWhoMadeAndWhoChangedAnObjectIsNoted(t *testing.T) {
	made := metav1.ObjectMeta{}
	Sign(&made, nil, nil, 1, "eventing.knative.dev", "alice")
	same, changed := metav1.ObjectMeta{}, metav1.ObjectMeta{}
	Sign(&same, &made, 1, 1, "eventing.knative.dev", "bob")
	Sign(&changed, &made, 1, 2, "eventing.knative.dev", "bob")
	for name, c := range map[string]struct {
		got      metav1.ObjectMeta
		modifier string
	}{"made": {made, "alice"}, "not changed": {same, "alice"}, "changed": {changed, "bob"}} {
		want := map[string]string{"eventing.knative.dev/creator": "alice", "eventing.knative.dev/lastModifier": c.modifier}
		if diff := cmp.Diff(want, c.got.Annotations); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Admission runs twice where another webhook changes the object in between.
func FuzzDefaultingSettles(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range seeds {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	in := Input{Config: config.NewSet("cluster.local").Eventing}
	f.Fuzz(func(t *testing.T, manifest []byte) {
		var meta metav1.TypeMeta
		if yaml.Unmarshal(manifest, &meta) != nil || completers[meta.GroupVersionKind()] == nil {
			t.Skip("no kind of ours")
		}
		once, err := completers[meta.GroupVersionKind()](manifest, nil, in)
		if err != nil {
			t.Skip("no object")
		}
		if diff := cmp.Diff(string(once), string(complete(t, once, nil, in))); diff != "" {
			t.Errorf("completed twice (-once +twice):\n%s", diff)
		}
	})
}
