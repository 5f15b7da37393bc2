package cesql_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	// The test kit comes with this module; nothing else of it is used.
	_ "github.com/cloudevents/sdk-go/sql/v2"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/cloudevents/sdk-go/v2/event"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/cesql"
	"ebb.dev/ebb/crds/cesql/attribute"
)

// kit is one file of the CloudEvents SQL test kit.
type kit struct {
	Name  string    `json:"name"`
	Tests []kitTest `json:"tests"`
}

type kitTest struct {
	Name           string         `json:"name"`
	Expression     string         `json:"expression"`
	Result         any            `json:"result"`
	Error          string         `json:"error"`
	Event          *event.Event   `json:"event"`
	EventOverrides map[string]any `json:"eventOverrides"`
}

// fewestKitTests is how many tests the kit of the pinned version has at least; fewer means it was not found whole.
const fewestKitTests = 240

func TestThePublicTestKitPasses(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cloudevents/sdk-go/sql/v2").Output()
	if err != nil {
		t.Fatalf("where is the module with the test kit? %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "test", "tck", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var k kit
		if err := yaml.Unmarshal(raw, &k); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, kt := range k.Tests {
			ran++
			t.Run(k.Name+"/"+kt.Name, func(t *testing.T) { kt.run(t) })
		}
	}
	if ran < fewestKitTests {
		t.Errorf("ran %d tests of the kit, want at least %d", ran, fewestKitTests)
	}
	t.Logf("%d tests of %d files", ran, len(files))
}

func (k kitTest) run(t *testing.T) {
	expression, err := cesql.Parse(k.Expression)
	if k.Error == "parse" {
		var syntax *cesql.SyntaxError
		if !errors.As(err, &syntax) {
			t.Fatalf("Parse(%s) = %v, want a syntax error", k.Expression, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("Parse(%s): %v", k.Expression, err)
	}
	var view attribute.View
	view.Reset(k.event(t))
	got, err := expression.Compile().Evaluate(&view)
	if kind := kindOf(err); kind != k.Error {
		t.Errorf("%s: error %q (%v), want %q", k.Expression, kind, err, k.Error)
	}
	if want := valueOf(t, k.Result); got != want {
		t.Errorf("%s = %v of type %v, want %v of type %v", k.Expression, got, got.Type(), want, want.Type())
	}
}

func (k kitTest) event(t *testing.T) *event.Event {
	e := event.New()
	e.SetID("an-id")
	e.SetSource("http://localhost/source")
	e.SetType("com.example.full")
	e.SetSubject("topic")
	if k.Event != nil {
		e = *k.Event
	}
	e.SetSpecVersion(event.CloudEventsVersionV1)
	for name, value := range k.EventOverrides {
		if err := spec.V1.SetAttribute(e.Context, name, value); err != nil {
			t.Fatal(err)
		}
	}
	return &e
}

func kindOf(err error) string {
	var failed *cesql.Error
	if errors.As(err, &failed) {
		return string(failed.Kind)
	}
	return ""
}

func valueOf(t *testing.T, raw any) attribute.Value {
	switch raw := raw.(type) {
	case bool:
		return attribute.Truth(raw)
	case float64:
		return attribute.Number(int32(raw))
	case string:
		return attribute.Text(raw)
	}
	t.Fatalf("a result of type %T", raw)
	return attribute.Value{}
}
