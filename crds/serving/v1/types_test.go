package v1

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/networking"
)

// A Service as the API server of a Knative cluster returned it, with every field of the kinds' own.
const wire = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: shop, namespace: default, generation: 2}
spec:
  template:
    metadata: {name: shop-blue, annotations: {autoscaling.knative.dev/min-scale: "1"}}
    spec:
      containerConcurrency: 5
      timeoutSeconds: 300
      responseStartTimeoutSeconds: 100
      idleTimeoutSeconds: 10
      enableServiceLinks: false
      containers:
      - name: user-container
        image: shop:v1
        ports: [{containerPort: 8080, name: h2c, protocol: TCP}]
        readinessProbe: {successThreshold: 1, tcpSocket: {port: 0}}
        resources: {}
  traffic:
  - {latestRevision: true, percent: 90}
  - {revisionName: shop-green, percent: 10, tag: green, latestRevision: false}
status:
  observedGeneration: 2
  annotations: {a: b}
  conditions:
  - {lastTransitionTime: "2026-08-01T10:00:00Z", status: "True", type: ConfigurationsReady}
  - {lastTransitionTime: "2026-08-01T10:00:00Z", status: Unknown, type: Ready, reason: RevisionMissing, message: waiting}
  - {lastTransitionTime: "2026-08-01T10:00:00Z", status: "False", severity: Info, type: Active}
  latestCreatedRevisionName: shop-blue
  latestReadyRevisionName: shop-green
  url: http://shop.default.example.com
  address: {url: http://shop.default.svc.cluster.local, CACerts: x, audience: aud, name: http}
  traffic:
  - {latestRevision: true, percent: 90, revisionName: shop-blue}
  - {revisionName: shop-green, percent: 10, tag: green, url: http://green-shop.default.example.com, latestRevision: false}
`

func TestAServiceIsTheSameOnTheWire(t *testing.T) {
	var s Service
	if err := yaml.UnmarshalStrict([]byte(wire), &s); err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var want, got map[string]any
	if err := yaml.Unmarshal([]byte(wire), &want); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read and written (-read +written):\n%s", diff)
	}
	// Clients that go through unstructured objects see the same.
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&s)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var unstructured map[string]any
	if err := yaml.Unmarshal(data, &unstructured); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, unstructured); diff != "" {
		t.Errorf("read and unstructured (-read +unstructured):\n%s", diff)
	}
}

func TestTheKindsAreInTheScheme(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"Service", "Configuration", "Revision", "Route"} {
		for _, name := range []string{kind, kind + "List"} {
			if !scheme.Recognizes(SchemeGroupVersion.WithKind(name)) {
				t.Errorf("%s is not known", name)
			}
		}
	}
}

func TestTheServingContainerIsTheOneWithPorts(t *testing.T) {
	one := RevisionSpec{PodSpec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}}}
	if one.UserContainer().Name != "a" || len(one.SidecarContainers()) != 0 || one.UserPort() != 8080 || one.Protocol() != networking.ProtocolHTTP1 {
		t.Errorf("one container: %+v", one)
	}
	two := RevisionSpec{PodSpec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "a"}, {Name: "b", Ports: []corev1.ContainerPort{{Name: "h2c", ContainerPort: 9000}}}}}}
	if two.UserContainer().Name != "b" || len(two.SidecarContainers()) != 1 || two.SidecarContainers()[0].Name != "a" || two.UserPort() != 9000 || two.Protocol() != networking.ProtocolH2C {
		t.Errorf("two containers: %+v", two)
	}
	if none := (&RevisionSpec{}).UserContainer(); none == nil || none.Name != "" {
		t.Errorf("no container: %+v", none)
	}
	if got := (&RevisionSpec{ContainerConcurrency: ptr.To[int64](3)}).Concurrency(); got != 3 {
		t.Errorf("concurrency %d", got)
	}
}

func TestTheRoutingStateIsDatedWhenItChanges(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	shared := map[string]string{"a": "b"}
	r := Revision{ObjectMeta: metav1.ObjectMeta{Labels: shared}}
	r.SetRoutingState(RoutingStateActive, noon)
	r.SetRoutingState(RoutingStateActive, noon.Add(time.Hour))
	if r.RoutingState() != RoutingStateActive || !r.RoutingStateModified().Equal(noon) || len(shared) != 1 {
		t.Errorf("state %s since %v, labels shared with others %v", r.RoutingState(), r.RoutingStateModified(), shared)
	}
	r.SetRoutingState(RoutingStateReserve, noon.Add(time.Hour))
	if !r.RoutingStateModified().Equal(noon.Add(time.Hour)) {
		t.Errorf("reserve since %v", r.RoutingStateModified())
	}
	if !(&Revision{}).RoutingStateModified().IsZero() {
		t.Error("a revision without the annotation has a date")
	}
}

func TestRolloutDurationReadsBothSpellings(t *testing.T) {
	for annotation, want := range map[string]time.Duration{"rollout-duration": time.Minute, "rolloutDuration": time.Minute, "other": 0} {
		r := Route{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"serving.knative.dev/" + annotation: "60s"}}}
		if got := r.RolloutDuration(); got != want {
			t.Errorf("%s: %v", annotation, got)
		}
	}
}
