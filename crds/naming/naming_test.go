package naming

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
	"testing"
)

func TestChildrenAreNamedAsKnativeNamesThem(t *testing.T) {
	long := strings.Repeat("abcdefghij", 6) // 60 characters
	of := func(s string) string {
		sum := md5.Sum([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	account := "-oidc-messaging.knative.dev-Subscription" // 40 characters
	for _, c := range []struct{ parent, suffix, want string }{
		{"shop", "", "shop"},
		{"shop-00001", "-deployment", "shop-00001-deployment"},
		{long, "-deployment", "abcdefghijabcdefghij" + of(long) + "-deployment"},
		{"a-parent-of-23-letters-", account, "a-parent-of-23-letters-" + account},
		{"a-parent-of-24-letters-x", account, "a-parent-of-24-letters-x" + of("a-parent-of-24-letters-x"+account) + "-oidc-m"},
		{long, account, long[:31] + of(long+account)},
		// What is cut after a separator loses that too.
		{strings.Repeat("x", 30), account, strings.Repeat("x", 30) + of(strings.Repeat("x", 30)+account)},
	} {
		if got := Child(c.parent, c.suffix); got != c.want || len(got) > 63 {
			t.Errorf("%q and %q: %s, want %s", c.parent, c.suffix, got, c.want)
		}
	}
}
