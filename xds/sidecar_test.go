package xds_test

import (
	"net"
	"net/http"
	"testing"

	"ebb.dev/ebb/deploy/envoy/bootstrap"
	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// sidecarPod is the pod that the token "pod" is bound to.
const sidecarPod = "hello-v1-a"

// A sidecar has one certificate, its pod's: with it it is a proxy of that pod and no other, and is the app to gateways.
func TestASidecarServesItsPodWithItsOwnIdentity(t *testing.T) {
	b := newBed(t, hold.DefaultSettings(), revision("hello-v1", 0), service("hello", split("hello-v1", 100)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	app := &http.Server{Handler: hello("from the sidecar")}
	go app.Serve(listener) //nolint:errcheck // ends with the test
	t.Cleanup(func() { app.Close() })
	port := uint32(listener.Addr().(*net.TCPAddr).Port)
	pod := model.Key{Namespace: "default", Name: sidecarPod}
	b.proxy(envoyBinary(t), bootstrap.Replica, model.SidecarID(pod), "pod", "")
	b.scaler.wake = func(key model.Key) {
		b.plane.Store.Write(func(tx *store.Tx) {
			r, _ := tx.Revision(key)
			spec := r.Revision
			probe := *spec.Probe
			probe.Port = port
			spec.Probe = &probe
			tx.SetReplica(&store.Replica{Node: "n1", Replica: model.Replica{
				Pod: pod, Revision: spec, Proxy: model.SidecarID(pod),
				Listen: model.Address{Host: "127.0.0.1", Port: listenPort()}, App: model.Address{Host: "127.0.0.1", Port: port},
			}})
		})
	}
	if code, body := b.get(http.DefaultClient, "hello", "/"); code != 200 || body != "from the sidecar" {
		t.Fatalf("got %d %q", code, body)
	}
}
