package admission

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestMessagesReadAsSentences(t *testing.T) {
	path := field.NewPath("spec", "a")
	for _, c := range []struct {
		err  *field.Error
		want string
	}{
		{field.Invalid(path, 7, "must be from 0 to 5"), "Service default/shop: spec.a: 7, must be from 0 to 5"},
		{field.Invalid(path, "x", "must be a name"), `Service default/shop: spec.a: "x", must be a name`},
		{field.Invalid(path, true, "may only be false"), "Service default/shop: spec.a: true, may only be false"},
		{field.Invalid(path, time.Second, "is too long"), `Service default/shop: spec.a: "1s", is too long`},
		{field.Invalid(path, field.OmitValueType{}, "30 + 80 = 110, must add up to 100"), "Service default/shop: spec.a: 30 + 80 = 110, must add up to 100"},
		{field.Required(path, "name an image"), "Service default/shop: spec.a: missing, name an image"},
		{field.Required(path, ""), "Service default/shop: spec.a: missing"},
		{field.Forbidden(path, "must not be set, remove it"), "Service default/shop: spec.a: must not be set, remove it"},
		{field.Duplicate(path, "x"), `Service default/shop: spec.a: "x" is there already, choose another`},
		{field.NotSupported(path, "x", []string{"b", "c"}), `Service default/shop: spec.a: "x", must be one of "b", "c"`},
		{field.TooMany(path, 3, 1), "Service default/shop: spec.a: must have at most 1 item"},
		{field.Invalid(path, strings.Repeat("é", 200), "is too long"), `Service default/shop: spec.a: "` + strings.Repeat("é", 59) + "…, is too long"},
	} {
		if got := Message("Service", "default", "shop", field.ErrorList{c.err}); got != c.want {
			t.Errorf("\n got %s\nwant %s", got, c.want)
		}
	}
}

func TestEveryReasonHasALineAndNoneTwice(t *testing.T) {
	twice := field.Required(field.NewPath("spec"), "say something")
	got := Message("ClusterDomainClaim", "", "example.com", field.ErrorList{twice, twice, field.Required(field.NewPath("status"), "")})
	if want := "ClusterDomainClaim example.com: spec: missing, say something\nClusterDomainClaim example.com: status: missing"; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if got := Message("Service", "default", "shop", nil); got != "" {
		t.Errorf("no errors: %q", got)
	}
}
