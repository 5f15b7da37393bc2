package manifests

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"sigs.k8s.io/yaml"
)

// What the API server prunes, nobody can refuse by name.
func TestTheAPIServerKeepsWhatValidationRefusesByName(t *testing.T) {
	const sent = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: shop}
spec:
  template:
    metadata: {name: shop-blue, annotations: {a: b}, colour: blue}
    spec:
      restartPolicy: Never
      hostNetwork: true
      terminationGracePeriodSeconds: 5
      nodeSelector: {disk: ssd}
      affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}
      tolerations: [{key: a, operator: Exists}]
      initContainers: [{image: a, env: [{name: A}]}]
      topologySpreadConstraints: [{maxSkew: 1}]
      securityContext: {runAsUser: 1, sysctls: [{name: a, value: b}]}
      containers:
      - image: shop:v1
        lifecycle: {preStop: {exec: {command: [a]}}}
        stdin: true
        ports: [{containerPort: 80, hostPort: 80}]
        resources: {limits: {cpu: 1}, claims: [{name: a}]}
        env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        securityContext: {procMount: Default, capabilities: {add: [NET_ADMIN]}}
        volumeMounts: [{name: v, mountPath: /v, recursiveReadOnly: Enabled, subPathExpr: a, mountPropagation: None}]
        livenessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 3}
      volumes:
      - {name: v, nfs: {server: a, path: /}}
      - {name: w, hostPath: {path: /}}
      - {name: x, ephemeral: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 1Gi}}}}}}
      - {name: y, projected: {sources: [{clusterTrustBundle: {path: a}}]}}
`
	var want, got map[string]any
	for _, into := range []*map[string]any{&want, &got} {
		data, err := yaml.YAMLToJSON([]byte(sent))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	got["spec"].(map[string]any)["nonsense"] = true
	for _, definition := range CustomResourceDefinitions() {
		if definition.Spec.Names.Kind == "Service" {
			pruning.Prune(got, structural(t, definition), true)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sent (-) and kept (+):\n%s", diff)
	}
}
