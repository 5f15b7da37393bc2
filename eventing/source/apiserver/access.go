package apiserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// verbs are those that watching takes.
var verbs = []string{"get", "list", "watch"}

// Lack is what a ServiceAccount may not do.
type Lack struct {
	Verbs    []string
	Resource schema.GroupResource
	// Namespace is empty for all, and for what is in none.
	Namespace string
}

// lacks asks the API server what an account may not do of what watches take.
func lacks(ctx context.Context, c client.Client, account types.NamespacedName, watches []Watch) ([]Lack, error) {
	asked := map[authorizationv1.ResourceAttributes]bool{}
	allowed := func(resource schema.GroupResource, namespace, verb string) (bool, error) {
		what := authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: resource.Group, Resource: resource.Resource}
		if answer, ok := asked[what]; ok {
			return answer, nil
		}
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: userOf(account), Groups: groupsOf(account), ResourceAttributes: &what,
		}}
		if err := c.Create(ctx, review); err != nil {
			return false, fmt.Errorf("ask what ServiceAccount %s may do: %w", account, err)
		}
		asked[what] = review.Status.Allowed
		return review.Status.Allowed, nil
	}
	var out []Lack
	for _, w := range watches {
		lack := Lack{Resource: w.Resource.GroupResource(), Namespace: w.Namespace}
		for _, verb := range verbs {
			// What is allowed in all namespaces is so in each; one question serves many namespaces.
			everywhere, err := allowed(lack.Resource, "", verb)
			if err != nil {
				return nil, err
			}
			if everywhere {
				continue
			}
			here, err := allowed(lack.Resource, w.Namespace, verb)
			if err != nil {
				return nil, err
			}
			if !here {
				lack.Verbs = append(lack.Verbs, verb)
			}
		}
		known := slices.ContainsFunc(out, func(l Lack) bool { return l.Resource == lack.Resource && l.Namespace == lack.Namespace })
		if len(lack.Verbs) > 0 && !known {
			out = append(out, lack)
		}
	}
	return out, nil
}

func userOf(account types.NamespacedName) string {
	return "system:serviceaccount:" + account.Namespace + ":" + account.Name
}

func groupsOf(account types.NamespacedName) []string {
	return []string{"system:serviceaccounts", "system:serviceaccounts:" + account.Namespace, "system:authenticated"}
}

// explain says what an account lacks, in Knative's words, and how to give it the first of that.
func explain(account types.NamespacedName, missing []Lack) string {
	var cannot []string
	for _, l := range missing {
		cannot = append(cannot, fmt.Sprintf("%s resource %q in API group %q in Namespace %q", strings.Join(l.Verbs, ", "), l.Resource.Resource, l.Resource.Group, l.Namespace))
	}
	first := missing[0]
	role, where := "role", " -n "+first.Namespace
	if first.Namespace == "" {
		role, where = "clusterrole", ""
	}
	name := account.Name + "-" + first.Resource.Resource
	return fmt.Sprintf("User %s cannot %s; allow it, such as with: kubectl create %s %s --verb=%s --resource=%s%s && kubectl create %sbinding %s --%s=%s --serviceaccount=%s:%s%s",
		userOf(account), strings.Join(cannot, ", "),
		role, name, strings.Join(verbs, ","), first.Resource, where, role, name, role, name, account.Namespace, account.Name, where)
}

// watchedLabel is on roles whose rights Ebb's broker has too; deploy/kubernetes/base aggregates them.
const watchedLabel = "eventing.ebb.dev/watched=true"

// troubled says why a watch failed, and what lets the broker watch what only the source's own account may.
func troubled(err error) string {
	var refused apierrors.APIStatus
	if !apierrors.IsForbidden(err) || !errors.As(err, &refused) || refused.Status().Details == nil {
		return err.Error()
	}
	what := schema.GroupResource{Group: refused.Status().Details.Group, Resource: refused.Status().Details.Kind}
	return fmt.Sprintf("%v; let Ebb's broker watch it, such as with: kubectl create clusterrole watched-%[2]s --verb=list,watch --resource=%[3]s && kubectl label clusterrole watched-%[2]s %[4]s",
		err, what.Resource, what, watchedLabel)
}
