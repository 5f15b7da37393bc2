package broker

import (
	"context"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fcache "k8s.io/client-go/tools/cache/testing"

	"ebb.dev/ebb/crds/config"
)

func TestTracingFollowsItsConfigMap(t *testing.T) {
	p := &process{Options: Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))}}
	source := fcache.NewFakeControllerSource()
	defer source.Shutdown()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	traced := &tracing{process: p}
	go func() {
		followConfigMap(ctx, source, func(data map[string]string) { traced.configured(ctx, data) })
		close(done)
	}()
	becomes := func(on bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); p.tracer.On() != on; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("tracing does not become %t", on)
			}
		}
	}
	saying := func(data map[string]string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-eventing", Name: config.EventingObservabilityName}, Data: data}
	}
	on := map[string]string{"tracing-protocol": "grpc", "tracing-endpoint": "http://127.0.0.1:1", "tracing-sampling-rate": "0"}
	if p.tracer.On() {
		t.Error("it is on before anybody asked for it")
	}
	source.Add(saying(on))
	becomes(true)
	source.Modify(saying(map[string]string{"tracing-protocol": "none"}))
	becomes(false)
	source.Modify(saying(on))
	becomes(true)
	// What is wrong changes nothing: the change after it is the next to be seen.
	source.Modify(saying(map[string]string{"tracing-protocol": "pigeon"}))
	source.Delete(saying(nil))
	becomes(false)
	cancel()
	<-done
}
