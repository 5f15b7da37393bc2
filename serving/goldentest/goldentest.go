package goldentest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving/defaulting"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/status"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// Now is the time of every decision.
var Now = time.Date(2026, 8, 21, 12, 0, 0, 0, time.UTC)

// Case is what a decision is made of.
type Case struct {
	Objects  []client.Object
	Config   *config.Set
	Defaults defaulting.Input
	given    []byte
}

// Given reads the document of kind Given into into.
func (c *Case) Given(t testing.TB, into any) {
	t.Helper()
	if c.given == nil {
		return
	}
	if err := yaml.UnmarshalStrict(c.given, into); err != nil {
		t.Fatalf("Given: %v", err)
	}
}

// First returns the first object of T's kind whose name is that given ("" is any), nil if there is none.
func First[T client.Object](c *Case, name string) T {
	var none T
	for _, o := range c.Objects {
		if typed, ok := o.(T); ok && (name == "" || o.GetName() == name) {
			return typed
		}
	}
	return none
}

// All returns all objects of T's kind.
func All[T client.Object](c *Case) []T {
	var all []T
	for _, o := range c.Objects {
		if typed, ok := o.(T); ok {
			all = append(all, typed)
		}
	}
	return all
}

// Run calls decide with every case of testdata and compares what it returns with the golden.
func Run(t *testing.T, decide func(t *testing.T, c *Case) any) {
	each(t, func(t *testing.T, folder string, c *Case) {
		got, err := yaml.Marshal(decide(t, c))
		if err != nil {
			t.Fatal(err)
		}
		compare(t, filepath.Join(folder, "out.yaml"), got)
	})
}

// Again holds that what has been decided and done is not decided again: it carries out the plan of every case and calls decide once more,
// which must plan nothing. What is in the way is deleted first and its name taken with the decision after it: that one is carried out too.
func Again(t *testing.T, decide func(t *testing.T, c *Case) apply.Plan) {
	each(t, func(t *testing.T, _ string, c *Case) {
		first := decide(t, c)
		c.carryOut(t, first)
		for range len(first.Delete) {
			c.carryOut(t, decide(t, c))
		}
		if again := decide(t, c); !again.Empty() {
			shown, err := yaml.Marshal(Show(t, again, nil))
			if err != nil {
				t.Fatal(err)
			}
			t.Errorf("decided again:\n%s", shown)
		}
	})
}

func each(t *testing.T, do func(t *testing.T, folder string, c *Case)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range files {
		folder := filepath.Dir(file)
		t.Run(filepath.Base(folder), func(t *testing.T) { do(t, folder, Load(t, file)) })
	}
}

// carryOut makes of the case's objects what the API server would.
func (c *Case) carryOut(t testing.TB, p apply.Plan) {
	t.Helper()
	for _, o := range p.Create {
		o.SetUID("made-" + types.UID(o.GetName()))
		o.SetGeneration(1)
		c.Objects = append(c.Objects, o)
	}
	for _, u := range p.Update {
		if i := c.find(u.From); i >= 0 {
			u.To.SetGeneration(u.From.GetGeneration() + 1)
			c.Objects[i] = u.To
		}
	}
	for _, o := range p.Delete {
		if i := c.find(o); i >= 0 {
			c.Objects = slices.Delete(c.Objects, i, i+1)
		}
	}
}

func (c *Case) find(object client.Object) int {
	return slices.IndexFunc(c.Objects, func(o client.Object) bool {
		return reflect.TypeOf(o) == reflect.TypeOf(object) && o.GetName() == object.GetName()
	})
}

func compare(t *testing.T, golden string, got []byte) {
	t.Helper()
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
}

// Load reads a case.
func Load(t testing.TB, file string) *Case {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &Case{Config: config.NewSet("cluster.local")}
	documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var raw runtime.RawExtension
		if err := documents.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		c.add(t, file, raw.Raw)
	}
	c.Defaults = defaulting.Input{Defaults: c.Config.Defaults, Features: c.Config.Features}
	c.complete()
	return c
}

func (c *Case) add(t testing.TB, file string, document []byte) {
	t.Helper()
	var meta struct {
		APIVersion, Kind string
	}
	if err := json.Unmarshal(document, &meta); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if meta.Kind == "Given" {
		var rest map[string]any
		if err := json.Unmarshal(document, &rest); err != nil {
			t.Fatal(err)
		}
		delete(rest, "kind")
		c.given, _ = json.Marshal(rest)
		return
	}
	o, err := scheme().New(schema.FromAPIVersionAndKind(meta.APIVersion, meta.Kind))
	if err == nil {
		err = yaml.UnmarshalStrict(document, o)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	object := o.(client.Object)
	object.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	if m, ok := object.(*corev1.ConfigMap); ok {
		next, warnings, err := c.Config.With(m.Name, m.Data)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v %v", file, err, warnings)
		}
		c.Config = next
		return
	}
	c.Objects = append(c.Objects, object)
}

// complete fills in the defaults of what users write.
func (c *Case) complete() {
	for _, o := range c.Objects {
		switch o := o.(type) {
		case *servingv1.Service:
			defaulting.Service(o, nil, c.Defaults)
		case *servingv1.Configuration:
			defaulting.Configuration(o, nil, c.Defaults)
		case *servingv1.Route:
			defaulting.Route(o, nil, c.Defaults)
		case *servingv1.Revision:
			defaulting.Revision(o, nil, c.Defaults)
		}
	}
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, crds.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}

// Decided is what a golden shows of a decision.
type Decided struct {
	Create []any    `json:"create,omitempty"`
	Update []Patch  `json:"update,omitempty"`
	Delete []string `json:"delete,omitempty"`
	Status any      `json:"status,omitempty"`
	// Written says when the status is written: now, soon, calm or late; "" if it is what it was.
	Written string   `json:"written,omitempty"`
	News    []string `json:"news,omitempty"`
	Next    string   `json:"next,omitempty"`
}

// Patch is what is sent to change an object.
type Patch struct {
	Of    string `json:"of"`
	Patch any    `json:"patch"`
}

// Show returns what a golden shows of a plan.
func Show(t testing.TB, p apply.Plan, news []apply.Event) Decided {
	t.Helper()
	var d Decided
	for _, o := range p.Create {
		kind := kindOf(t, o)
		o = o.DeepCopyObject().(client.Object)
		o.GetObjectKind().SetGroupVersionKind(kind)
		d.Create = append(d.Create, o)
	}
	for _, u := range p.Update {
		data, err := client.MergeFrom(u.From).Data(u.To)
		if err != nil {
			t.Fatal(err)
		}
		var patch any
		if err := json.Unmarshal(data, &patch); err != nil {
			t.Fatal(err)
		}
		d.Update = append(d.Update, Patch{Of: kindOf(t, u.To).Kind + "/" + u.To.GetName(), Patch: patch})
	}
	for _, o := range p.Delete {
		d.Delete = append(d.Delete, kindOf(t, o).Kind+"/"+o.GetName())
	}
	for _, e := range news {
		kind := "Normal"
		if e.Warning {
			kind = "Warning"
		}
		d.News = append(d.News, kind+" "+e.Reason+": "+e.Message)
	}
	return d
}

// WithStatus adds a status and when it is written.
func (d Decided) WithStatus(before, after any, pace status.Pace) Decided {
	d.Status = after
	if !cmp.Equal(before, after) {
		d.Written = map[status.Pace]string{status.Now: "now", status.Soon: "soon", status.Calm: "calm", status.Late: "late"}[pace]
	}
	return d
}

func kindOf(t testing.TB, o client.Object) schema.GroupVersionKind {
	t.Helper()
	kind, err := apiutil.GVKForObject(o, scheme())
	if err != nil {
		t.Fatal(err)
	}
	return kind
}
