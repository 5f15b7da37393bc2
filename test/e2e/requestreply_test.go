package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A RequestReply answers requests with the replies of a Service that its Broker's events wake, and says when there is none.
func TestARequestReplyAnswersWithTheReplyOfAService(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.apply(app{name: "oracle"}.manifest() + `
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: b}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: oracle}
spec:
  broker: b
  filter: {attributes: {type: question}}
  subscriber: ` + strings.Replace(answers("type=answer&source=/oracle&reply=replyid&append=+is+answered"), "step", "oracle", 1) + `
---
apiVersion: eventing.knative.dev/v1alpha1
kind: RequestReply
metadata: {name: ask}
spec:
  brokerRef: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: b}
  correlationAttribute: correlationid
  replyAttribute: replyid
  timeout: PT40S
`)
	s.ready("oracle")
	s.must("wait", "trigger/oracle", "requestreply/ask", "--for=condition=Ready", "--timeout=60s")
	if got := s.path("requestreply/ask", "{.status.address.url}"); got != "http://request-reply.knative-eventing.svc.cluster.local/"+s.name+"/ask" {
		t.Errorf("address %s", got)
	}
	url := fmt.Sprintf("http://request-reply.knative-eventing.localhost:%d/%s/ask", s.port, s.name)
	ask := func(kind, id string) answer {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(id))
		if err != nil {
			t.Error(err)
			return answer{}
		}
		for key, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Type": kind, "Ce-Source": "/e2e", "Ce-Id": id, "Content-Type": "text/plain"} {
			request.Header.Set(key, value)
		}
		got, err := do(kept, request)
		if err != nil {
			t.Error(err)
		}
		return got
	}
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			id := fmt.Sprint("q", i)
			if got := ask("question", id); got.code != http.StatusOK || got.body != id+" is answered" || got.header.Get("Ce-Source") != "/oracle" {
				t.Errorf("%s: %+v", id, got)
			}
		})
	}
	group.Wait()

	s.must("patch", "requestreply", "ask", "--type=merge", "-p", `{"spec": {"timeout": "PT1S"}}`)
	// A request that comes before the broker has read the new timeout waits for the old one: what has observed it reads from the same cache.
	s.must("wait", "requestreply/ask", "--for=jsonpath={.status.observedGeneration}="+s.path("requestreply/ask", "{.metadata.generation}"), "--timeout=30s")
	if got := ask("other", "unanswered"); got.code != http.StatusGatewayTimeout || got.took > 20*time.Second {
		t.Errorf("with the new timeout: %+v", got)
	}
	s.must("delete", "requestreply", "ask")
	eventually(t, 20*time.Second, "a request to what is deleted to be refused", func() error {
		if got := ask("question", "late"); got.code != http.StatusNotFound {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}
