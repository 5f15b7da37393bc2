package broker

import (
	"bytes"
	"os"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// TestOnAClusterItHasTheSameEnvironment is about the manifest, which cannot name the variable of this package.
func TestOnAClusterItHasTheSameEnvironment(t *testing.T) {
	manifest, err := os.ReadFile("../../../deploy/kubernetes/base/broker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range bytes.Split(manifest, []byte("\n---\n")) {
		var workload appsv1.Deployment
		if err := yaml.Unmarshal(document, &workload); err != nil {
			t.Fatal(err)
		}
		for _, c := range workload.Spec.Template.Spec.Containers {
			var has []string
			for _, e := range c.Env {
				has = append(has, e.Name+"="+e.Value)
			}
			for _, want := range Environment {
				if !slices.Contains(has, want) {
					t.Errorf("container %s of %s has no %s in its env", c.Name, workload.Name, want)
				}
			}
			return
		}
	}
	t.Error("the manifest has no container")
}

func TestProcessorsFollowTheirUse(t *testing.T) {
	many := func(used float64, n int) []float64 { return slices.Repeat([]float64{used}, n) }
	for name, c := range map[string]struct {
		have, most int
		used       []float64
		want       int
	}{
		"it begins with all":             {have: 4, most: 4, used: []float64{3}, want: 4},
		"nothing to do":                  {have: 2, most: 2, used: many(0, shrinkAfter), want: 1},
		"not for a moment":               {have: 2, most: 2, used: many(0, shrinkAfter-1), want: 2},
		"halves one after the other":     {have: 8, most: 8, used: many(0, 3*shrinkAfter), want: 1},
		"half would be tight":            {have: 2, most: 2, used: many(0.7, 5*shrinkAfter), want: 2},
		"never none":                     {have: 1, most: 2, used: many(0, 5*shrinkAfter), want: 1},
		"one is full":                    {have: 1, most: 2, used: []float64{0.9}, want: 2},
		"one is enough":                  {have: 1, most: 2, used: many(0.8, 100), want: 1},
		"not more than it began with":    {have: 3, most: 3, used: many(3, 5), want: 3},
		"a busy look begins the wait":    {have: 2, most: 2, used: slices.Concat(many(0, shrinkAfter-1), []float64{1.2}, many(0, shrinkAfter-1)), want: 2},
		"it grows by as many as it has":  {have: 2, most: 8, used: []float64{1.9}, want: 4},
		"it grows to an odd number, too": {have: 2, most: 3, used: []float64{1.9}, want: 3},
	} {
		p := &processors{have: c.have, most: c.most}
		got := c.have
		for _, used := range c.used {
			got = p.next(used)
		}
		if got != c.want {
			t.Errorf("%s: %d, not %d", name, got, c.want)
		}
	}
}
