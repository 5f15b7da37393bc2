package defaulting

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/config"
	v1 "ebb.dev/ebb/crds/serving/v1"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// Each folder of testdata holds what a user writes (in.yaml), what it replaces (old.yaml, if anything), the settings that differ from
// the defaults (config.yaml, ConfigMaps by name) and what is stored (out.yaml). Its README says what it proves.
func TestGoldens(t *testing.T) {
	folders, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, in := range folders {
		folder := filepath.Dir(in)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			got := complete(t, folder)
			golden := filepath.Join(folder, "out.yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

func complete(t *testing.T, folder string) []byte {
	t.Helper()
	in := settings(t, folder)
	var meta metav1.TypeMeta
	read(t, filepath.Join(folder, "in.yaml"), &meta, false)
	var result any
	switch meta.Kind {
	case "Service":
		result = completed(t, folder, func(s, old *v1.Service) { Service(s, old, in) })
	case "Configuration":
		result = completed(t, folder, func(c, old *v1.Configuration) { Configuration(c, old, in) })
	case "Revision":
		result = completed(t, folder, func(r, old *v1.Revision) { Revision(r, old, in) })
	case "Route":
		result = completed(t, folder, func(r, old *v1.Route) { Route(r, old, in) })
	default:
		t.Fatalf("%s: unknown kind %q", folder, meta.Kind)
	}
	out, err := yaml.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func completed[T any](t *testing.T, folder string, apply func(object, old *T)) *T {
	t.Helper()
	object := new(T)
	read(t, filepath.Join(folder, "in.yaml"), object, true)
	var old *T
	if _, err := os.Stat(filepath.Join(folder, "old.yaml")); err == nil {
		old = new(T)
		read(t, filepath.Join(folder, "old.yaml"), old, true)
	}
	apply(object, old)
	return object
}

func read(t *testing.T, file string, into any, strict bool) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	unmarshal := func() error { return yaml.Unmarshal(data, into) }
	if strict {
		unmarshal = func() error { return yaml.UnmarshalStrict(data, into) }
	}
	if err := unmarshal(); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func settings(t *testing.T, folder string) Input {
	t.Helper()
	set := config.NewSet("cluster.local")
	var maps map[string]map[string]string
	if _, err := os.Stat(filepath.Join(folder, "config.yaml")); err == nil {
		read(t, filepath.Join(folder, "config.yaml"), &maps, true)
	}
	for name, data := range maps {
		next, warnings, err := set.With(name, data)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v %v", name, warnings, err)
		}
		set = next
	}
	return Input{Defaults: set.Defaults, Features: set.Features, User: "alice"}
}

// Admission runs twice where another webhook changes the object in between.
func FuzzDefaultingSettles(f *testing.F) {
	for _, seed := range []string{"testdata/the-least-service/in.yaml", "testdata/several-containers/in.yaml", "testdata/secure-pods/in.yaml"} {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, true)
	}
	plain, secure := config.NewSet("cluster.local"), config.NewSet("cluster.local")
	secure, _, err := secure.With(config.FeaturesName, map[string]string{"secure-pod-defaults": "Enabled"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, manifest []byte, secured bool) {
		var once v1.Service
		if err := yaml.Unmarshal(manifest, &once); err != nil {
			t.Skip("no Service")
		}
		set := plain
		if secured {
			set = secure
		}
		in := Input{Defaults: set.Defaults, Features: set.Features, User: "alice"}
		Service(&once, nil, in)
		twice := once.DeepCopy()
		Service(twice, nil, in)
		if !equality.Semantic.DeepEqual(&once, twice) {
			t.Errorf("completed twice (-once +twice):\n%s", cmp.Diff(&once, twice))
		}
	})
}
