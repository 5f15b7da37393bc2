package naming

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// maxLabel is the length of a DNS label, the shortest limit among the kinds that are named here.
const maxLabel = 63

// Child returns parent with suffix, or, where that is too long for a DNS label, the beginning of parent, a hash of all of it, and suffix.
// suffix is shorter than 31 characters.
func Child(parent, suffix string) string {
	if len(parent)+len(suffix) <= maxLabel {
		return parent + suffix
	}
	hash := md5.Sum([]byte(parent)) // tells names apart, hides nothing
	head := maxLabel - hex.EncodedLen(len(hash)) - len(suffix)
	return parent[:head] + hex.EncodeToString(hash[:]) + suffix
}

// Wanted is the name of the revision that a Configuration wants now: its template's, or one made from its generation.
func Wanted(c *servingv1.Configuration) string {
	if name := c.Spec.Template.Name; name != "" {
		return name
	}
	return revision(c.Name, c.Generation)
}

func revision(configuration string, generation int64) string {
	return Child(configuration, fmt.Sprintf("-%05d", generation))
}

// Deployment is the name of a revision's Deployment.
func Deployment(revision string) string { return Child(revision, "-deployment") }

// Ingress is the name of a Route's KIngress.
func Ingress(route string) string { return Child(route, "") }
