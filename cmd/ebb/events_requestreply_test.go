package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/test/apiserver"
)

// oracle is a subscriber that answers questions, once it may.
type oracle struct {
	mu    sync.Mutex
	may   chan struct{}
	asked []string
}

func (o *oracle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Ce-Id")
	o.mu.Lock()
	o.asked = append(o.asked, id)
	may := o.may
	o.mu.Unlock()
	select {
	case <-may:
	case <-r.Context().Done():
		return
	}
	for name, value := range map[string]string{
		"Specversion": "1.0", "Id": "re-" + id, "Source": "/oracle", "Type": "answer", "Replyid": r.Header.Get("Ce-Correlationid"),
	} {
		w.Header().Set("Ce-"+name, value)
	}
	fmt.Fprintf(w, "answer to %s", id)
}

func (o *oracle) heard(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Contains(strings.Join(o.asked, " ")+" ", id+" ")
}

// hush has it answer no more until the function it returns is called.
func (o *oracle) hush() func() {
	o.mu.Lock()
	defer o.mu.Unlock()
	may := make(chan struct{})
	o.may = may
	return sync.OnceFunc(func() { close(may) })
}

// ask sends a question to the RequestReply and returns what came back.
func (s *steered) ask(id string) (code int, body string) {
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.listen+"/default/ask", bytes.NewBufferString("?"))
	if err != nil {
		return 0, err.Error()
	}
	r.Host = "request-reply.knative-eventing.svc.cluster.local"
	for name, value := range map[string]string{"Specversion": "1.0", "Id": id, "Source": "/me", "Type": "question"} {
		r.Header.Set("Ce-"+name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(data)
}

// reached says of a route what the gateways would.
func (s *steered) reached(name string) {
	s.t.Helper()
	apiserver.Eventually(s.t, "route "+name+" is there and reached", func(ctx context.Context) bool {
		var route networking.Ingress
		if s.api.Get(ctx, client.ObjectKey{Namespace: eventing.SystemNamespace, Name: name}, &route) != nil {
			return false
		}
		marks := route.Status.Mark(metav1.Now())
		marks.MarkTrue(networking.IngressConditionNetworkConfigured)
		marks.MarkTrue(networking.IngressConditionLoadBalancerReady)
		route.Status.ObservedGeneration = route.Generation
		return s.api.Status().Update(ctx, &route) == nil
	})
}

func TestRequestsGetTheirRepliesAcrossRestarts(t *testing.T) {
	s := steer(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.said())
		}
	})
	o := &oracle{}
	o.hush()()
	subscriber := httptest.NewServer(o)
	defer subscriber.Close()
	rr := &eventingv1alpha1.RequestReply{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "ask"},
		Spec:       eventingv1alpha1.RequestReplySpec{BrokerRef: duck.KReference{Kind: "Broker", APIVersion: "eventing.knative.dev/v1", Name: "default"}, Timeout: ptr.To("PT60S")},
	}
	for _, object := range []client.Object{
		rr,
		&eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}},
		&eventingv1.Trigger{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "oracle", Annotations: map[string]string{"eventing.ebb.dev/concurrency": "100"}},
			// Nothing is tried again: a reply that comes back before its Broker does, after a restart, waits for it.
			Spec: eventingv1.TriggerSpec{Broker: "default", Subscriber: duck.Destination{URI: &subscriber.URL},
				Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "question"}}},
		},
	} {
		if err := s.api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	apiserver.Eventually(t, "the Trigger delivers", func(context.Context) bool { return len(s.states()) == 1 })
	s.reached("broker-ingress")
	s.reached("request-reply")
	apiserver.Eventually(t, "the RequestReply is ready", func(ctx context.Context) bool {
		return s.api.Get(ctx, client.ObjectKeyFromObject(rr), rr) == nil && rr.IsReady()
	})
	if url := rr.Status.Address.URL; url != "http://request-reply.knative-eventing.svc.cluster.local/default/ask" {
		t.Errorf("address %s", url)
	}

	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			id := fmt.Sprint("q", i)
			if code, body := s.ask(id); code != http.StatusOK || body != "answer to "+id {
				t.Errorf("%s: %d %s", id, code, body)
			}
		})
	}
	group.Wait()

	// What waits when the process ends is told to send again, and gets the reply that the first sending led to.
	answers := o.hush()
	defer answers()
	type answer struct {
		code int
		body string
	}
	got := make(chan answer, 1)
	asking := func(id string) {
		go func() {
			code, body := s.ask(id)
			got <- answer{code, body}
		}()
		apiserver.Eventually(t, "the subscriber has question "+id, func(context.Context) bool { return o.heard(id) })
	}
	asking("again")
	s.stop()
	if a := <-got; a.code != http.StatusServiceUnavailable {
		t.Errorf("a request when the process ends: %+v", a)
	}
	answers()
	s.start()
	apiserver.Eventually(t, "the request that was sent again gets its reply", func(context.Context) bool {
		code, body := s.ask("again")
		if code != http.StatusOK && code != http.StatusServiceUnavailable || code == http.StatusOK && body != "answer to again" {
			t.Fatalf("sent again: %d %s", code, body)
		}
		return code == http.StatusOK
	})

	// Where senders have to say who they are, those of requests have to as well.
	features := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: eventing.SystemNamespace, Name: "config-features"}, Data: map[string]string{"authentication-oidc": "enabled"},
	}
	if err := s.api.Create(t.Context(), features); err != nil {
		t.Fatal(err)
	}
	asks := 0
	is := func(want int) func(context.Context) bool {
		return func(context.Context) bool {
			asks++
			code, _ := s.ask(fmt.Sprint("who", asks))
			return code == want
		}
	}
	apiserver.Eventually(t, "a request without a token is refused", is(http.StatusUnauthorized))
	apiserver.Eventually(t, "the status names the audience", func(ctx context.Context) bool {
		return s.api.Get(ctx, client.ObjectKeyFromObject(rr), rr) == nil && rr.Status.Address.Audience != nil &&
			*rr.Status.Address.Audience == "eventing.knative.dev/requestreply/default/ask"
	})
	if err := s.api.Delete(t.Context(), features); err != nil {
		t.Fatal(err)
	}
	apiserver.Eventually(t, "nobody is asked any more", is(http.StatusOK))

	answers = o.hush()
	defer answers()
	asking("deleted")
	if err := s.api.Delete(t.Context(), rr); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.code != http.StatusServiceUnavailable || !strings.Contains(a.body, "deleted") {
		t.Errorf("a request to what is deleted: %+v", a)
	}
	if code, body := s.ask("late"); code != http.StatusNotFound {
		t.Errorf("%d %s", code, body)
	}
}
