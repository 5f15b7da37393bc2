package controlplane

import (
	"net"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/serving"
	"ebb.dev/ebb/serving/goldentest"
	"ebb.dev/ebb/serving/workload"
	"ebb.dev/ebb/test/programs"
)

// A case is a revision, where replicas' proxies are by default and what its namespace says; the golden is its pods.
func TestThePodsOfARevision(t *testing.T) {
	c := &controlPlane{Options: Options{DrainAddress: "127.0.0.1:15020"}, injected: injected{
		image: "registry.example.org/ebb:v1", controlPlane: "ebb-control-plane.ebb-system.svc.cluster.local:15010", trustDomain: "cluster.local",
	}}
	goldentest.Run(t, func(t *testing.T, g *goldentest.Case) any {
		var given struct {
			Default   serving.ReplicaProxy `json:"default"`
			Namespace map[string]string    `json:"namespace"`
		}
		g.Given(t, &given)
		revision := goldentest.First[*servingv1.Revision](g, "")
		return workload.NewDeployment(workload.Input{
			Revision: revision, Config: g.Config, PreStop: c.preStop, Sidecar: c.sidecar,
			Proxy: workload.ChooseProxy(revision.Annotations, given.Namespace, given.Default),
		}).Spec.Template
	})
}

func TestTheImageOfSidecars(t *testing.T) {
	own := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ebb-system", Name: "ebb-control-plane-0"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "control-plane", Image: "registry.example.org/ebb:v7"}}},
	}
	for name, c := range map[string]struct {
		options Options
		pod     string
		want    string
		refused bool
	}{
		"as said":                  {options: Options{ReplicaProxy: "sidecar", SidecarImage: "ebb:dev"}, pod: own.Name, want: "ebb:dev"},
		"the control plane's own":  {options: Options{ReplicaProxy: "sidecar"}, pod: own.Name, want: "registry.example.org/ebb:v7"},
		"of a pod that is another": {options: Options{ReplicaProxy: "sidecar"}, pod: "gone", refused: true},
		"none that is needed":      {options: Options{ReplicaProxy: "sidecar"}, refused: true},
		"none that is not":         {options: Options{ReplicaProxy: "node"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(podNamespace, "ebb-system")
			t.Setenv(podName, c.pod)
			plane := &controlPlane{Options: c.options, kube: fake.NewClientset(own)}
			if err := plane.findSidecar(t.Context()); (err != nil) != c.refused {
				t.Fatal(err)
			}
			if !c.refused && plane.injected.image != c.want {
				t.Errorf("got %q, want %q", plane.injected.image, c.want)
			}
		})
	}
}

// Outside of a cluster the image is made of what runs, once.
func TestALocalImageIsMadeWhenItIsNeeded(t *testing.T) {
	envoy := programs.Envoy(t)
	t.Setenv(podName, "")
	dir := t.TempDir()
	store, err := image.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	plane := &controlPlane{Options: Options{ReplicaProxy: "node", Images: dir, Envoy: envoy}}
	if err := plane.findSidecar(t.Context()); err != nil {
		t.Fatal(err)
	}
	ref, err := image.ParseRef(plane.injected.image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Lookup(ref); err == nil {
		t.Error("made before anybody needs it")
	}
	if err := plane.makeImage(t.Context()); err != nil {
		t.Fatal(err)
	}
	made, err := store.Lookup(ref)
	if err != nil {
		t.Fatal(err)
	}
	again := &controlPlane{Options: Options{ReplicaProxy: "sidecar", Images: dir, Envoy: envoy}}
	if err := again.findSidecar(t.Context()); err != nil || again.injected.image != plane.injected.image {
		t.Fatalf("%q, %v", again.injected.image, err)
	}
	if same, err := store.Lookup(ref); err != nil || same != made {
		t.Errorf("%s, %v", same, err)
	}
}

func TestSeveralAddressesAreOneListener(t *testing.T) {
	listener, err := listenAll(t.Context(), []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "s")})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range listener.(*joined).listeners {
		conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		accepted, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		accepted.Close()
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if _, err := listener.Accept(); err == nil {
		t.Error("accepts after it was closed")
	}
}
