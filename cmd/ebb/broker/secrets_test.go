package broker

import (
	"bytes"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// The key that signs may be changed while everything runs, and the one before it be kept for what it signed.
func TestKeysAreReadAgain(t *testing.T) {
	own, platform := client.ObjectKey{Namespace: "shop", Name: "k"}, client.ObjectKey{Namespace: "knative-eventing", Name: "k"}
	api := fake.NewClientBuilder().Build()
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	ring := newKeyring(api, clock)
	put := func(name client.ObjectKey, data map[string]string) {
		t.Helper()
		secret := &corev1.Secret{}
		secret.Namespace, secret.Name = name.Namespace, name.Name
		_ = api.Delete(t.Context(), secret) // it may be new
		secret.Data = map[string][]byte{}
		for key, value := range data {
			secret.Data[key] = []byte(value)
		}
		if err := api.Create(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what, keys string) {
		t.Helper()
		read, err := ring.get(t.Context(), own, platform)
		got := string(bytes.Join(read, []byte(" ")))
		if err != nil {
			got = err.Error()
		}
		if got != keys {
			t.Errorf("%s: %q, not %q", what, got, keys)
		}
	}
	want("neither", "read Secret knative-eventing/k: secrets \"k\" not found")
	put(platform, map[string]string{"key": "p"})
	want("the platform's", "p")
	put(own, map[string]string{"key": "2", "z": "0", "before": "1", "empty": ""})
	want("for a moment what was read", "p")
	clock.SetTime(clock.Now().Add(keysFor))
	want("the namespace's own", "2 1 0")
	put(own, map[string]string{"before": "1"})
	clock.SetTime(clock.Now().Add(keysFor))
	want("none to sign with", `Secret shop/k has no "key", or an empty one: give it the key to sign with`)
}
