package admission

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"ebb.dev/ebb/crds/config"
)

func review(t *testing.T, request Request) []byte {
	t.Helper()
	return encode(t, admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "7", Kind: metav1.GroupVersionKind(request.Kind), Operation: request.Operation,
			Namespace: request.Namespace, Name: request.Name, UserInfo: authenticationv1.UserInfo{Username: request.User},
			Object: runtime.RawExtension{Raw: request.New}, OldObject: runtime.RawExtension{Raw: request.Old},
		},
	})
}

func post(t *testing.T, path, contentType string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	set := shipped(t)
	handler := NewHandler(func() *config.Set { return set }, slog.New(slog.DiscardHandler))
	request := httptest.NewRequest(http.MethodPost, path+"?timeout=10s", bytes.NewReader(body))
	request.Header.Set("Content-Type", contentType)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}

func answer(t *testing.T, path string, request Request) *admissionv1.AdmissionResponse {
	t.Helper()
	got := post(t, path, "application/json", review(t, request))
	if got.Code != http.StatusOK {
		t.Fatalf("status %d: %s", got.Code, got.Body)
	}
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(got.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Kind != "AdmissionReview" || out.APIVersion != "admission.k8s.io/v1" || out.Response == nil || out.Response.UID != "7" {
		t.Fatalf("no answer to this review: %s", got.Body)
	}
	return out.Response
}

func TestTheMutatingWebhookCompletesAndTheOthersDoNot(t *testing.T) {
	got := answer(t, MutatingPath, create(t, serviceKind, shop))
	if !got.Allowed || got.PatchType == nil || *got.PatchType != admissionv1.PatchTypeJSONPatch || !bytes.Contains(got.Patch, []byte(`"user-container"`)) {
		t.Errorf("mutating: %+v", got)
	}
	if !bytes.Contains(got.Patch, []byte(`"serving.knative.dev/creator":"alice"`)) {
		t.Errorf("not signed by who asked: %s", got.Patch)
	}
	if got := answer(t, ValidatingPath, create(t, serviceKind, shop)); !got.Allowed || got.Patch != nil {
		t.Errorf("validating: %+v", got)
	}
}

func TestEveryWebhookRefusesWithTheReason(t *testing.T) {
	bad := create(t, serviceKind, strings.Replace(shop, "image: shop:v1", "name: app", 1))
	for _, path := range []string{MutatingPath, ValidatingPath} {
		got := answer(t, path, bad)
		if got.Allowed || got.Result == nil || got.Result.Code != http.StatusBadRequest ||
			got.Result.Message != "Service default/shop: spec.template.spec.containers[0].image: missing, name an image" {
			t.Errorf("%s: %+v", path, got)
		}
	}
	setting := create(t, configMapKind, "metadata: {name: config-gc, namespace: knative-serving}\ndata: {min-non-active-revisions: many}")
	if got := answer(t, ConfigPath, setting); got.Allowed || !strings.Contains(got.Result.Message, "min-non-active-revisions") {
		t.Errorf("%+v", got)
	}
}

func TestWarningsReachWhoeverAsked(t *testing.T) {
	got := answer(t, ConfigPath, create(t, configMapKind, "metadata: {name: config-network, namespace: knative-serving}\ndata: {read-timeout: 10s}"))
	if !got.Allowed || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "read-timeout") {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNoReviewIsNotAnswered(t *testing.T) {
	good := review(t, create(t, serviceKind, shop))
	for name, c := range map[string]struct {
		contentType string
		body        []byte
		want        int
	}{
		"a form":      {"application/x-www-form-urlencoded", good, http.StatusUnsupportedMediaType},
		"no JSON":     {"application/json", []byte("{"), http.StatusBadRequest},
		"no request":  {"application/json; charset=utf-8", []byte("{}"), http.StatusBadRequest},
		"far too big": {"application/json", bytes.Repeat([]byte(" "), maxReview+1), http.StatusRequestEntityTooLarge},
	} {
		if got := post(t, MutatingPath, c.contentType, c.body); got.Code != c.want {
			body, _ := io.ReadAll(got.Body)
			t.Errorf("%s: status %d, want %d: %s", name, got.Code, c.want, body)
		}
	}
}

func TestTheRegistrationsCoverWhatIsServed(t *testing.T) {
	var paths []string
	client := func(path string) admissionregistrationv1.WebhookClientConfig {
		paths = append(paths, path)
		return admissionregistrationv1.WebhookClientConfig{URL: &path}
	}
	mutating, validating, configuration := Mutating(client), Validating(client), Config(client)
	for _, path := range paths {
		if got := post(t, path, "application/json", review(t, create(t, serviceKind, shop))); got.Code != http.StatusOK {
			t.Errorf("%s is registered and not served: %d", path, got.Code)
		}
	}
	registered := map[string]bool{}
	for _, rules := range [][]admissionregistrationv1.RuleWithOperations{mutating.Webhooks[0].Rules, configuration.Webhooks[0].Rules} {
		for _, rule := range rules {
			for _, resource := range rule.Resources {
				registered[rule.APIGroups[0]+"/"+rule.APIVersions[0]+"/"+resource] = true
			}
		}
	}
	for kind := range kinds {
		if name := kind.Group + "/" + kind.Version + "/" + plural(kind.Kind); !registered[name] {
			t.Errorf("%s is judged and not registered", name)
		}
	}
	if len(registered) != len(kinds) || len(validating.Webhooks[0].Rules) != len(mutating.Webhooks[0].Rules) {
		t.Errorf("registered %v", registered)
	}
}

func plural(kind string) string {
	if strings.HasSuffix(kind, "ss") {
		return strings.ToLower(kind) + "es"
	}
	if stem, ok := strings.CutSuffix(kind, "y"); ok {
		return strings.ToLower(stem) + "ies"
	}
	return strings.ToLower(kind) + "s"
}
