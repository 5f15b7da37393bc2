package binding

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"ebb.dev/ebb/crds/duck"
)

// The variables that workloads are told by.
const (
	sinkVariable      = "K_SINK"
	rootsVariable     = "K_CA_CERTS"
	overridesVariable = "K_CE_OVERRIDES"
)

var variables = []string{sinkVariable, rootsVariable, overridesVariable}

// Contract is what a workload is told.
type Contract struct {
	// Sink is an absolute URL.
	Sink string
	// Roots are PEM certificates to trust for it; nil says nothing.
	Roots *string
	// Overrides are what is set on every event; nil says nothing.
	Overrides *duck.CloudEventOverrides
	// Token is the Secret that has the token to send; "" says that none is asked for.
	Token string
}

// Where a workload finds its token, as in Knative's: the file is named as the key of the Secret.
const (
	tokenVolume = "oidc-token"
	tokenMount  = "/oidc"
)

// volume is what the pods have for a token, nil for none.
func (c Contract) volume() map[string]any {
	if c.Token == "" {
		return nil
	}
	return map[string]any{"name": tokenVolume, "projected": map[string]any{
		"sources": []any{map[string]any{"secret": map[string]any{"name": c.Token}}},
	}}
}

// mount is what the containers have for a token, nil for none.
func (c Contract) mount() map[string]any {
	if c.Token == "" {
		return nil
	}
	return map[string]any{"name": tokenVolume, "mountPath": tokenMount, "readOnly": true}
}

// put gives a list of things with names the one of a name, or takes it away if that is nil, and reports whether that changed the list. Fields
// that the API server has set by itself are left.
func put(in map[string]any, list, name string, want map[string]any) bool {
	have, _ := in[list].([]any)
	at := slices.IndexFunc(have, func(each any) bool {
		one, _ := each.(map[string]any)
		return one["name"] == name
	})
	switch {
	case want == nil && at < 0, want != nil && at >= 0 && equality.Semantic.DeepDerivative(want, have[at]):
		return false
	case want == nil:
		have = slices.Delete(slices.Clone(have), at, at+1)
	case at >= 0:
		have = slices.Clone(have)
		have[at] = want
	default:
		have = append(slices.Clone(have), want)
	}
	if len(have) == 0 {
		delete(in, list)
	} else {
		in[list] = have
	}
	return true
}

// values are the variables in their order.
func (c Contract) values() ([]variable, error) {
	out := []variable{{sinkVariable, c.Sink}}
	if c.Roots != nil {
		out = append(out, variable{rootsVariable, *c.Roots})
	}
	overrides := ""
	if c.Overrides != nil {
		data, err := json.Marshal(c.Overrides)
		if err != nil {
			return nil, fmt.Errorf("ceOverrides as JSON: %w", err)
		}
		overrides = string(data)
	}
	return append(out, variable{overridesVariable, overrides}), nil
}

type variable struct{ name, value string }

// notPodSpeccable is what is found at a kind that runs no pods by a template.
type notPodSpeccable struct{ kind, template string }

func (n notPodSpeccable) Error() string {
	return fmt.Sprintf("%s has no %s: name a kind that has a template of pods, such as Deployment", n.kind, n.template)
}

// Bind tells a workload, and reports whether that changed it.
func Bind(o *unstructured.Unstructured, c Contract) (bool, error) {
	values, err := c.values()
	if err != nil {
		return false, err
	}
	return tell(o, values, c)
}

// Unbind takes back what a workload was told, and reports whether that changed it.
func Unbind(o *unstructured.Unstructured) (bool, error) { return tell(o, nil, Contract{}) }

// podSpec is where a kind has the spec of its pods.
func podSpec(kind string) []string {
	if kind == "CronJob" {
		return []string{"spec", "jobTemplate", "spec", "template", "spec"}
	}
	return []string{"spec", "template", "spec"}
}

func tell(o *unstructured.Unstructured, values []variable, c Contract) (bool, error) {
	path := podSpec(o.GetKind())
	pod, found, err := unstructured.NestedMap(o.Object, path...)
	if err != nil || !found {
		return false, notPodSpeccable{o.GetKind(), ".spec.template.spec"}
	}
	changed := put(pod, "volumes", tokenVolume, c.volume())
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := pod[list].([]any)
		for _, each := range containers {
			container, ok := each.(map[string]any)
			if !ok {
				continue
			}
			if put(container, "volumeMounts", tokenVolume, c.mount()) {
				changed = true
			}
			env, _ := container["env"].([]any)
			if told(env, values) {
				continue
			}
			changed = true
			env = slices.DeleteFunc(env, isContract)
			for _, v := range values {
				env = append(env, map[string]any{"name": v.name, "value": v.value})
			}
			if len(env) == 0 {
				delete(container, "env")
			} else {
				container["env"] = env
			}
		}
	}
	if !changed {
		return false, nil
	}
	return true, unstructured.SetNestedMap(o.Object, pod, path...)
}

func isContract(entry any) bool {
	e, _ := entry.(map[string]any)
	name, _ := e["name"].(string)
	return slices.Contains(variables, name)
}

// told reports whether a container has these variables and no other of the contract.
func told(env []any, values []variable) bool {
	have := map[string]string{}
	count := 0
	for _, entry := range env {
		if isContract(entry) {
			e := entry.(map[string]any)
			value, _ := e["value"].(string)
			if _, indirect := e["valueFrom"]; indirect {
				return false
			}
			have[e["name"].(string)] = value
			count++
		}
	}
	if count != len(values) {
		return false
	}
	for _, v := range values {
		value, has := have[v.name]
		if !has || value != v.value && (v.name != overridesVariable || !sameJSON(value, v.value)) {
			return false
		}
	}
	return true
}

// sameJSON compares overrides: the policy writes them with other spaces or escapes.
func sameJSON(a, b string) bool {
	var one, other duck.CloudEventOverrides
	if json.Unmarshal([]byte(a), &one) != nil || json.Unmarshal([]byte(b), &other) != nil {
		return false
	}
	return maps.Equal(one.Extensions, other.Extensions)
}
