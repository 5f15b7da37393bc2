package admission

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/config"
)

// Paths of the webhooks, as Knative's are called.
const (
	// MutatingPath answers with defaults and refusals.
	MutatingPath = "/defaulting"
	// ValidatingPath answers with refusals, for objects that other webhooks may have changed since.
	ValidatingPath = "/resource-validation"
	// ConfigPath answers for ConfigMaps.
	ConfigPath = "/config-validation"
)

// maxReview bounds a request: an old and a new object at the API server's own limit of 3 MiB, and what is around them.
const maxReview = 7 << 20

// NewHandler returns the webhooks. configs returns the ConfigMaps as last accepted and must not block.
func NewHandler(configs func() *config.Set, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+MutatingPath, &webhook{configs: configs, log: log, mutates: true})
	mux.Handle("POST "+ValidatingPath, &webhook{configs: configs, log: log})
	mux.Handle("POST "+ConfigPath, &webhook{configs: configs, log: log})
	return mux
}

type webhook struct {
	configs func() *config.Set
	log     *slog.Logger
	mutates bool
}

func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "send an AdmissionReview as application/json", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "read the AdmissionReview: "+err.Error(), status)
		return
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil || review.Request == nil {
		http.Error(w, "the body is no AdmissionReview of admission.k8s.io/v1 with a request", http.StatusBadRequest)
		return
	}
	answer, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Response: h.answer(review.Request),
	})
	if err != nil {
		http.Error(w, "write the AdmissionReview: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(answer); err != nil {
		h.log.Warn("admission answer not delivered", "kind", review.Request.Kind.Kind, "error", err)
	}
}

func (h *webhook) answer(review *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	response := Admit(Request{
		Kind:        schema.GroupVersionKind(review.Kind),
		SubResource: review.SubResource,
		Operation:   review.Operation,
		Namespace:   review.Namespace,
		Name:        review.Name,
		User:        review.UserInfo.Username,
		Old:         review.OldObject.Raw,
		New:         review.Object.Raw,
	}, h.configs())
	answer := &admissionv1.AdmissionResponse{UID: review.UID, Allowed: response.Refusal == "", Warnings: response.Warnings}
	if !answer.Allowed {
		h.log.Info("change refused", "kind", review.Kind.Kind, "namespace", review.Namespace, "name", review.Name,
			"user", review.UserInfo.Username, "refusal", response.Refusal)
		answer.Result = &metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusBadRequest, Reason: metav1.StatusReasonBadRequest, Message: response.Refusal,
		}
		return answer
	}
	if !h.mutates || len(response.Patch) == 0 {
		return answer
	}
	steps, err := json.Marshal(response.Patch)
	if err != nil { // its values were made by the same encoder
		answer.Allowed = false
		answer.Result = &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: err.Error()}
		return answer
	}
	answer.Patch, answer.PatchType = steps, ptr.To(admissionv1.PatchTypeJSONPatch)
	return answer
}
