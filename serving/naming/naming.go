package naming

import (
	"fmt"

	"ebb.dev/ebb/crds/naming"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// Child names a child after its parent.
func Child(parent, suffix string) string { return naming.Child(parent, suffix) }

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
