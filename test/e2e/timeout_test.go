package e2e

import (
	"net/http"
	"testing"
	"time"
)

func TestResponseStartTimeoutEndsARequestThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.serve(app{name: "a", spec: map[string]any{"timeoutSeconds": 2, "responseStartTimeoutSeconds": 1}})
	url := s.url("a")
	// Awake first: a start that takes longer than the timeout is the hold's 503, not the app's 504.
	becomes(t, url+"/sleep?ms=1", http.StatusOK, "slept 1ms")
	got, err := get(t.Context(), url+"/sleep?ms=10000")
	if err != nil || got.code != http.StatusGatewayTimeout || got.took > 5*time.Second {
		t.Errorf("%v, %d after %s, want 504 after 1 s", err, got.code, got.took)
	}
	expect(t, url+"/sleep?ms=500", "slept 500ms")
}
