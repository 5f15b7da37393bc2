package identity

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/naming"
	"ebb.dev/ebb/eventing/model"
)

// LabelKey labels the ServiceAccounts that are made here, as Knative's are.
const LabelKey = "eventing.knative.dev/oidc"

// NameOf is the name of an object's ServiceAccount, as Knative's.
func NameOf(kind schema.GroupKind, name string) string {
	return strings.ToLower(naming.Child(name, "-oidc-"+kind.Group+"-"+kind.Kind))
}

// AccountOf is an object's ServiceAccount. It goes with the object.
func AccountOf(kind schema.GroupVersionKind, o metav1.Object) *corev1.ServiceAccount {
	owner := metav1.NewControllerRef(o, kind)
	owner.BlockOwnerDeletion = ptr.To(false)
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace: o.GetNamespace(), Name: NameOf(kind.GroupKind(), o.GetName()), OwnerReferences: []metav1.OwnerReference{*owner},
		Labels:      map[string]string{LabelKey: "enabled"},
		Annotations: map[string]string{"description": fmt.Sprintf("Service Account for OIDC Authentication for %s %q", kind.Kind, o.GetName())},
	}}
}

// Sender is as whom an object sends. The zero value is nobody, as long as nobody is asked.
type Sender struct {
	// Account is nobody where there is none, or none yet.
	Account model.Account
	// Asked says that receivers ask who sends.
	Asked bool
	// Err is why there is no account although there has to be one; nil if all is well.
	Err error
}

// The reasons of the condition about a sender, as Knative's.
const (
	reasonFailed = "Unable to resolve service account for OIDC authentication"
	// ReasonOff is that of conditions that are true because nobody is asked who sends.
	ReasonOff = string(config.AuthenticationOIDC) + " feature disabled"
)

// State states it in a condition and as the authentication of a status.
func (s Sender) State(marks conditions.Manager, condition conditions.Type, auth **duck.AuthStatus) {
	*auth = nil
	if name := s.Account.Key.Name; name != "" {
		*auth = &duck.AuthStatus{ServiceAccountName: &name}
	}
	switch {
	case s.Err != nil:
		marks.MarkFalse(condition, reasonFailed, s.Err.Error())
	case s.Asked:
		marks.MarkTrue(condition)
	default:
		marks.MarkTrueWithReason(condition, ReasonOff, "")
	}
}
