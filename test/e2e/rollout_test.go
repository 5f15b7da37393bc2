package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestChangeOfTheTemplateUnderLoadFailsNoRequest(t *testing.T) {
	s := shared.namespace(t)
	a := app{name: "a", env: map[string]string{"TARGET": "v1"}}
	s.serve(a)
	url := s.url("a")
	load := startLoad(t, url, 50)
	load.answered(t, 50)
	for n := 2; n <= 4; n++ {
		target := fmt.Sprintf("v%d", n)
		a.env = map[string]string{"TARGET": target}
		s.apply(a.manifest())
		s.must("wait", "ksvc/a", fmt.Sprintf("--for=jsonpath={.status.latestReadyRevisionName}=a-%05d", n), "--timeout=60s")
		becomes(t, url, http.StatusOK, "Hello "+target+"!")
		load.answered(t, 50)
	}
	// Back: traffic is pointed at the first revision, which may have gone to sleep.
	a.traffic = []map[string]any{{"revisionName": "a-00001", "percent": 100}}
	s.apply(a.manifest())
	becomes(t, url, http.StatusOK, "Hello v1!")
	load.answered(t, 50)
	s.ready("a")
	c := load.stop()
	t.Log(c)
	if c.failures() > 0 {
		t.Errorf("%d of %d failed", c.failures(), c.sent)
	}
	if got := s.path("ksvc/a", "{.status.traffic[*].revisionName}"); got != "a-00001" {
		t.Errorf("status.traffic %q", got)
	}
}

func TestRevisionThatCannotStartTakesNoTraffic(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	// With the shipped initial-scale of 0 a revision is Ready unproven; who asks for a proof gets one.
	a := app{name: "a", env: map[string]string{"TARGET": "v1"}, annotations: map[string]string{"autoscaling.knative.dev/initial-scale": "1"}}
	s.serve(a)
	load := startLoad(t, s.url("a"), 20)
	a.env = map[string]string{"TARGET": "v2", "FAIL": "1"}
	s.apply(a.manifest())
	eventually(t, time.Minute, "the failure is told", func() error {
		if message := s.message("a", "ConfigurationsReady"); !strings.Contains(message, "a-00002") || !strings.Contains(message, "failing as told") {
			return fmt.Errorf("message %q", message)
		}
		return nil
	})
	c := load.stop()
	if c.failures() > 0 || c.bodies["Hello v1!"] != c.sent {
		t.Error(c)
	}
}

func TestTagsHaveAddressesOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	a := app{name: "a", env: map[string]string{"TARGET": "v1"}}
	s.serve(a)
	a.env = map[string]string{"TARGET": "v2"}
	a.traffic = []map[string]any{
		{"revisionName": "a-00001", "percent": 100, "tag": "current"},
		{"latestRevision": true, "percent": 0, "tag": "candidate"},
	}
	s.apply(a.manifest())
	s.must("wait", "ksvc/a", "--for=jsonpath={.status.latestReadyRevisionName}=a-00002", "--timeout=60s")
	s.ready("a")
	becomes(t, tagged(s.url("a"), "candidate"), http.StatusOK, "Hello v2!")
	becomes(t, tagged(s.url("a"), "current"), http.StatusOK, "Hello v1!")
	if got := many(t.Context(), fresh, s.url("a"), 50, 5); got.bodies["Hello v1!"] != 50 {
		t.Error(got)
	}
	urls := s.path("ksvc/a", "{.status.traffic[*].url}")
	if want := tagged(s.url("a"), "candidate"); !strings.Contains(urls, want) {
		t.Errorf("status.traffic has the urls %q, not %s", urls, want)
	}
}
