package async

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestAPreferenceIsFoundAmongOthers(t *testing.T) {
	for header, want := range map[string]bool{
		"respond-async":                         true,
		"Respond-Async":                         true,
		"respond-async, wait=10":                true,
		"wait=10,respond-async":                 true,
		" respond-async ; foo=\"a,b\" , wait=1": true,
		`handling=lenient, respond-async`:       true,
		"":                                      false,
		"respond-asynchronously":                false,
		"no-respond-async":                      false,
		"respond-sync":                          false,
		`note="a, respond-async"`:               false,
		`note="a, \", respond-async"`:           false,
		`note="x", respond-async`:               true,
		"foo; respond-async":                    false,
	} {
		if got := RespondAsync.In(header); got != want {
			t.Errorf("%q: %t", header, got)
		}
	}
	if !RespondSync.In("wait=1, respond-sync") || RespondSync.In("respond-async") {
		t.Error("respond-sync")
	}
	if Preference("other").In("other") {
		t.Error("a preference that is none of ours is found")
	}
}

func TestWaitAndOthers(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"wait=10": 10 * time.Second, `respond-async, Wait = "5"`: 5 * time.Second, "respond-async": 0, "wait=x": 0, `n="wait=3"`: 0, "wait=3;x": 3 * time.Second,
	} {
		if got := Wait([]string{header}); got != want {
			t.Errorf("%q: wait %s", header, got)
		}
	}
	if got := Others(`respond-async, handling=lenient;x="a,b", wait=3, return=minimal`); got != `handling=lenient;x="a,b", return=minimal` {
		t.Errorf("others: %q", got)
	}
}

func TestAnnotationsAreResolvedAndWhatIsWrongIsNotWritten(t *testing.T) {
	p := Resolve(map[string]string{
		RetryKey: "2", BackoffKey: "3s", TimeoutKey: "20m", TTLKey: "10m", ConcurrencyKey: "7", QueueKey: "8", MaxBytesKey: "9", DeadLetterKey: "http://a/b",
	}, map[string]string{ModeKey: ModeAlways})
	want := Policy{ModeAlways, 2, 3 * time.Second, 20 * time.Minute, 10 * time.Minute, 7, 8, 9, "http://a/b"}
	if p != want {
		t.Errorf("got %+v", p)
	}
	wrong := map[string]string{
		ModeKey: "sometimes", RetryKey: "-1", BackoffKey: "0s", TimeoutKey: "25h", TTLKey: "1", ConcurrencyKey: "0", QueueKey: "x",
		MaxBytesKey: "99999999", DeadLetterKey: "file:///x", group + "/colour": "red",
	}
	if p := Resolve(wrong, nil); p != Default() {
		t.Errorf("got %+v", p)
	}
	errs := Validate(wrong, map[string]string{ModeKey: ModeNever}, field.NewPath("metadata"))
	if len(errs) != len(wrong) {
		t.Errorf("%d errors of %d: %v", len(errs), len(wrong), errs.ToAggregate())
	}
	if text := errs.ToAggregate().Error(); !strings.Contains(text, "metadata.annotations[async.ebb.dev/timeout]") {
		t.Error(text)
	}
	if errs := Validate(map[string]string{TimeoutKey: "20m", ModeKey: ModeAlways}, nil, field.NewPath("metadata")); len(errs) > 0 {
		t.Error(errs)
	}
}

func TestTimesOfHeaders(t *testing.T) {
	for text, want := range map[string]time.Duration{"30": 30 * time.Second, "1m30s": 90 * time.Second, "0": 0} {
		if d, err := Seconds(text, time.Hour); err != nil || d != want {
			t.Errorf("%q: %s, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "-1", "2h", "soon", "-1s"} {
		if d, err := Seconds(text, time.Hour); err == nil {
			t.Errorf("%q: %s", text, d)
		}
	}
}

// What Envoy matches and what is read here must be one.
func FuzzPrefer(f *testing.F) {
	for _, seed := range []string{"respond-async", `a="b,c", respond-async;x, wait=3`, `"`, `a="\"`, ",,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		in := RespondAsync.In(header)
		others := Others(header)
		if RespondAsync.In(others) && strings.Count(header, `"`) == 0 {
			t.Errorf("%q: still in %q", header, others)
		}
		if in && strings.Count(header, `"`) == 0 && !strings.Contains(strings.ToLower(header), "respond-async") {
			t.Errorf("%q", header)
		}
		Wait([]string{header})
	})
}
