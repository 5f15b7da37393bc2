package job

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/test/apiserver"
)

func serving(t *testing.T) (client.Client, *Handler) {
	c := fake.NewClientBuilder().WithScheme(apiserver.Scheme(t)).WithObjects(mill()).Build()
	return c, NewHandler(c, c, slog.New(slog.DiscardHandler))
}

func ask(h http.Handler, method, path, id, body string) *http.Response {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if id != "" {
		for key, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Type": "order", "Ce-Source": "/shop/till", "Ce-Id": id} {
			r.Header.Set(key, value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestAnEventHasOneJobHoweverOftenItIsSent(t *testing.T) {
	c, h := serving(t)
	for range 3 {
		if got := ask(h, http.MethodPost, "/shop/mill", "1", `{"a":1}`); got.StatusCode != http.StatusAccepted ||
			got.Header.Get("Location") != "/namespaces/shop/name/mill/sources/%2Fshop%2Ftill/ids/1" {
			body, _ := io.ReadAll(got.Body)
			t.Fatalf("%d %v %s", got.StatusCode, got.Header, body)
		}
	}
	ask(h, http.MethodPost, "/shop/mill", "2", `{"a":1}`)
	var jobs batchv1.JobList
	var secrets corev1.SecretList
	if err := c.List(t.Context(), &jobs); err != nil || len(jobs.Items) != 2 {
		t.Errorf("%d Jobs, %v", len(jobs.Items), err)
	}
	if err := c.List(t.Context(), &secrets); err != nil || len(secrets.Items) != 2 {
		t.Errorf("%d Secrets, %v", len(secrets.Items), err)
	}
}

func TestAJobWithoutItsEventGetsItWhenTheEventIsSentAgain(t *testing.T) {
	c, h := serving(t)
	ask(h, http.MethodPost, "/shop/mill", "1", "{}")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: NameOf("mill", "/shop/till", "1")}}
	if err := c.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if got := ask(h, http.MethodPost, "/shop/mill", "1", "{}"); got.StatusCode != http.StatusAccepted {
		t.Error(got.StatusCode)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		t.Error(err)
	}
}

func TestWhatIsWrongIsAnswered(t *testing.T) {
	c, h := serving(t)
	other := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: NameOf("mill", "/shop/till", "taken")}}
	if err := c.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, method, path, id string
		body                   string
		want                   int
	}{
		{"no such sink", http.MethodPost, "/shop/other", "1", "{}", http.StatusNotFound},
		{"no sink at all", http.MethodPost, "/", "1", "{}", http.StatusBadRequest},
		{"no event", http.MethodPost, "/shop/mill", "", "{}", http.StatusBadRequest},
		{"too large", http.MethodPost, "/shop/mill", "1", strings.Repeat("x", eventBytes+1), http.StatusRequestEntityTooLarge},
		{"too large as JSON", http.MethodPost, "/shop/mill", "1", strings.Repeat("x", eventBytes-10), http.StatusRequestEntityTooLarge},
		{"somebody else's Job", http.MethodPost, "/shop/mill", "taken", "{}", http.StatusServiceUnavailable},
		{"a method", http.MethodPut, "/shop/mill", "1", "{}", http.StatusMethodNotAllowed},
		{"no Job", http.MethodGet, "/namespaces/shop/name/mill/sources/x/ids/1", "", "", http.StatusNotFound},
		{"no place", http.MethodGet, "/namespaces/shop", "", "", http.StatusBadRequest},
	} {
		if got := ask(h, tt.method, tt.path, tt.id, tt.body); got.StatusCode != tt.want {
			body, _ := io.ReadAll(got.Body)
			t.Errorf("%s: %d %s", tt.name, got.StatusCode, body)
		}
	}
}

func TestAFullHouseIsTold(t *testing.T) {
	_, h := serving(t)
	for range most {
		h.slots <- struct{}{}
	}
	if got := ask(h, http.MethodPost, "/shop/mill", "1", "{}"); got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
}

func TestALocationSaysHowTheJobFares(t *testing.T) {
	c, h := serving(t)
	place := ask(h, http.MethodPost, "/shop/mill", "1", "{}").Header.Get("Location")
	if got := ask(h, http.MethodGet, place, "", ""); got.StatusCode != http.StatusAccepted || got.Header.Get("Location") != place {
		t.Errorf("while it runs: %d %v", got.StatusCode, got.Header)
	}
	for _, tt := range []struct {
		is   batchv1.JobConditionType
		code int
	}{{batchv1.JobComplete, http.StatusOK}, {batchv1.JobFailed, http.StatusBadRequest}} {
		var j batchv1.Job
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: NameOf("mill", "/shop/till", "1")}, &j); err != nil {
			t.Fatal(err)
		}
		j.Status.Conditions = []batchv1.JobCondition{{Type: tt.is, Status: corev1.ConditionTrue}}
		if err := c.Status().Update(t.Context(), &j); err != nil {
			t.Fatal(err)
		}
		if got := ask(h, http.MethodGet, place, "", ""); got.StatusCode != tt.code || got.Header.Get("Reason") != string(tt.is) {
			t.Errorf("%s: %d %v", tt.is, got.StatusCode, got.Header)
		}
	}
}

func TestAJobSinkHasAnAddress(t *testing.T) {
	in := Input{Sink: mill(), ClusterDomain: "cluster.local", Way: exposure.Way{Reached: true}, Now: time.Now()}
	out := Decide(in)
	if out.Address.URL != "http://job-sink.knative-eventing.svc.cluster.local/shop/mill" || out.JobStatus.Selector != "sinks.knative.dev/job-sink-name=mill" ||
		!out.GetCondition(conditions.Ready).IsTrue() {
		t.Errorf("%+v", out)
	}
	in.Way = exposure.Way{Why: "not yet"}
	late := Decide(in)
	if c := late.GetCondition(conditions.Ready); !c.IsUnknown() || c.Reason != "RouteNotReady" {
		t.Errorf("%+v", c)
	}
}
