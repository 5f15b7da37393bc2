package validation

import (
	"testing"

	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving/defaulting"
	v1 "ebb.dev/ebb/crds/serving/v1"
)

// Whatever somebody sends, the answer is errors, never a panic; and every error says where and what.
func FuzzService(f *testing.F) {
	for _, seed := range []string{
		container("ports: [{name: h2c}], readinessProbe: {httpGet: {port: h2c}}, volumeMounts: [{name: v, mountPath: /v}]"),
		podOf("containers: [{image: a, ports: [{}]}, {image: b, env: [{name: PORT}]}], initContainers: [{image: c}], volumes: [{name: v, projected: {sources: [{}]}}]"),
		trafficOf("{percent: 30, tag: a}, {revisionName: b, percent: 80}"),
		templateMeta(`name: shop-1, annotations: {serving.knative.dev/progress-deadline: 1s, autoscaling.knative.dev/min-scale: "1"}`),
	} {
		f.Add([]byte(seed), []byte(seed))
	}
	set := cluster(f, on(config.PodSpecInitContainers, config.MultiContainerProbing, config.PodSpecSecurityContext), nil)
	in := defaulting.Input{Defaults: set.Defaults, Features: set.Features}
	f.Fuzz(func(t *testing.T, manifest, before []byte) {
		var s, old v1.Service
		if yaml.Unmarshal(manifest, &s) != nil || yaml.Unmarshal(before, &old) != nil {
			t.Skip("no Service")
		}
		defaulting.Service(&old, nil, in)
		defaulting.Service(&s, &old, in)
		for _, err := range Service(&s, &old, set).Errors {
			if err.Field == "" || (err.Detail == "" && err.BadValue == nil) {
				t.Errorf("an error that says nothing: %#v", err)
			}
		}
	})
}
