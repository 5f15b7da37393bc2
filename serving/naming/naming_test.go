package naming

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

func configuration(name string, generation int64) *servingv1.Configuration {
	return &servingv1.Configuration{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: generation}}
}

func TestNamesAreKnatives(t *testing.T) {
	long := strings.Repeat("abcdefghij", 6) // 60 characters
	for _, c := range []struct{ got, want string }{
		{Wanted(configuration("shop", 1)), "shop-00001"},
		{Wanted(configuration("shop", 123456)), "shop-123456"},
		{Deployment("shop-00001"), "shop-00001-deployment"},
		{Ingress("shop"), "shop"},
		// md5 of the 60 characters, as the longer suffixes leave no room for them.
		{Deployment(long), "abcdefghijabcdefghij" + "c583d21482c5f1dc5f2bdefdebecf7a4" + "-deployment"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

func TestNamesFitADNSLabelAndStayDifferent(t *testing.T) {
	long := strings.Repeat("x", 63)
	a, b := Wanted(configuration(long, 1)), Wanted(configuration(long, 2))
	if len(a) != 63 || a == b || Deployment(a) == Deployment(b) || len(Deployment(a)) != 63 {
		t.Errorf("%s (%d), %s", a, len(a), b)
	}
}

func TestATemplatesNameIsTaken(t *testing.T) {
	c := configuration("shop", 4)
	c.Spec.Template.Name = "shop-blue"
	if got := Wanted(c); got != "shop-blue" {
		t.Error(got)
	}
}
