package networking

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestBothSpellingsOfAnAnnotationAreRead(t *testing.T) {
	for _, c := range []struct {
		get         func(map[string]string) string
		annotations map[string]string
		want        string
	}{
		{IngressClass, nil, ""},
		{IngressClass, map[string]string{"networking.knative.dev/ingress-class": "a"}, "a"},
		{IngressClass, map[string]string{"networking.knative.dev/ingress-class": "a", "networking.knative.dev/ingress.class": "b"}, "b"},
		{CertificateClass, map[string]string{"networking.knative.dev/certificate-class": "a"}, "a"},
		{HTTPProtocol, map[string]string{"networking.knative.dev/http-protocol": "Redirected"}, "Redirected"},
		{DisableExternalDomainTLS, map[string]string{"networking.knative.dev/disable-auto-tls": "true"}, "true"},
		{DisableExternalDomainTLS, map[string]string{"networking.knative.dev/disable-external-domain-tls": "true"}, "true"},
	} {
		if got := c.get(c.annotations); got != c.want {
			t.Errorf("%v: %q, want %q", c.annotations, got, c.want)
		}
	}
}

func TestAnUnknownNetworkingAnnotationIsRefused(t *testing.T) {
	errs := ValidateAnnotations(map[string]string{
		"networking.knative.dev/ingress-class": "a", "networking.knative.dev/colour": "blue", "example.com/colour": "blue",
	}, field.NewPath("metadata", "annotations"))
	if len(errs) != 1 || errs[0].Field != "metadata.annotations[networking.knative.dev/colour]" || !strings.Contains(errs[0].Detail, IngressClassAnnotationKey) {
		t.Errorf("got %v", errs)
	}
}

func TestPortsFollowTheProtocol(t *testing.T) {
	if port, name := ServicePort(ProtocolH2C); port != 81 || name != "http2" {
		t.Errorf("h2c: %d %s", port, name)
	}
	if port, name := ServicePort(ProtocolHTTP1); port != 80 || name != "http" {
		t.Errorf("http1: %d %s", port, name)
	}
	if IsReservedPort(DefaultUserPort) {
		t.Error("the default port is reserved")
	}
}
