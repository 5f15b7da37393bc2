package controlplane

import "testing"

func TestWritesAreCountedByResource(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/namespaces/default/services":                                  "services",
		"/api/v1/namespaces/default/events":                                    "events",
		"/api/v1/namespaces":                                                   "namespaces",
		"/api/v1/namespaces/default":                                           "namespaces",
		"/api/v1/namespaces/default/status":                                    "namespaces/status",
		"/api/v1/namespaces/default/serviceaccounts/x/token":                   "serviceaccounts/token",
		"/apis/apps/v1/namespaces/default/deployments/shop/scale":              "deployments/scale",
		"/apis/serving.knative.dev/v1/namespaces/default/services/shop/status": "services/status",
		"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x":            "customresourcedefinitions",
		"/apis/authentication.k8s.io/v1/tokenreviews":                          "tokenreviews",
		"/healthz": "other",
	} {
		if got := resourceOf(path); got != want {
			t.Errorf("resourceOf(%q) = %q, want %q", path, got, want)
		}
	}
}
