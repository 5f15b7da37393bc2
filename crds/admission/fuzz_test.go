package admission

import (
	"encoding/json"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Whatever somebody sends: the answer is a refusal that names the object, or a patch that applies. Never a panic.
func FuzzAdmit(f *testing.F) {
	set := shipped(f)
	gvks := []schema.GroupVersionKind{serviceKind, configurationKind, revisionKind, routeKind, ingressKind, autoscalerKind, configMapKind}
	service := create(f, serviceKind, shop).New
	for i := range gvks {
		f.Add(i, service, []byte(nil))
		f.Add(i, service, service)
	}
	f.Add(3, []byte(`{"metadata":{"name":"a"},"spec":{"traffic":[{"percent":30},{"percent":80}]}}`), []byte(`{}`))
	f.Add(4, []byte(`{"spec":{"rules":[{"http":{"paths":[{"splits":[{"percent":1}]}]}}]}}`), []byte(nil))
	f.Add(5, []byte(`{"spec":{"scaleTargetRef":{"kind":"a"},"protocolType":"h2c"}}`), []byte(nil))
	f.Add(6, []byte(`{"metadata":{"name":"config-network"},"data":{"domain-template":"{{.Name}}"}}`), []byte(nil))
	f.Fuzz(func(t *testing.T, kind int, changed, old []byte) {
		if strings.Contains(string(changed), "range") {
			t.Skip("a template may count for as long as an operator likes")
		}
		request := Request{
			Kind: gvks[uint(kind)%uint(len(gvks))], Operation: admissionv1.Create,
			Namespace: "knative-serving", Name: "shop", User: "alice", New: changed, Old: old,
		}
		if len(old) > 0 {
			request.Operation = admissionv1.Update
		}
		response := Admit(request, set)
		if response.Refusal != "" {
			if !strings.HasPrefix(response.Refusal, request.Kind.Kind+" ") {
				t.Errorf("a refusal that names no object: %q", response.Refusal)
			}
			return
		}
		if len(response.Patch) == 0 {
			return
		}
		steps, err := jsonpatch.DecodePatch(encode(t, response.Patch))
		if err != nil {
			t.Fatal(err)
		}
		var sent struct{ Metadata json.RawMessage }
		if json.Unmarshal(changed, &sent) != nil || len(sent.Metadata) == 0 {
			return // the API server sends no object without metadata
		}
		if _, err := steps.Apply(changed); err != nil {
			t.Errorf("the patch does not apply: %v", err)
		}
	})
}
