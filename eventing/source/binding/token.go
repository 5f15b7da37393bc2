package binding

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/naming"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/model"
)

// Tokens proves who a ServiceAccount is; *identity.Tokens does.
type Tokens interface {
	Get(ctx context.Context, account model.Account, audience string) (string, error)
}

const (
	// tokenKey is that of the Secret's token.
	tokenKey = "token"
	// leastLeft is for how long a token holds at least that is left as it is. It is looked at each minute.
	leastLeft = 20 * time.Minute
)

// Token is where workloads find the token by which they say who they are. The zero value is nowhere.
type Token struct {
	// Secret is its name, in the SinkBinding's namespace; "" for none.
	Secret string
	// Err is why there is none although there has to be one.
	Err error
}

// state says in the status where the token is.
func (t Token) state(marks conditions.Manager, in Input, to *sourcesv1.SinkBindingStatus) {
	to.OIDCTokenSecretName = nil
	if t.Secret != "" {
		to.OIDCTokenSecretName = &t.Secret
	}
	made := sourcesv1.SinkBindingConditionOIDCTokenSecretCreated
	switch {
	case !in.Sender.Asked:
		marks.MarkTrueWithReason(made, identity.ReasonOff, "")
	case in.Sender.Err != nil:
		marks.MarkUnknown(made, "NoServiceAccount", "the token is asked for once there is a ServiceAccount")
	case t.Err != nil:
		marks.MarkFalse(made, "Unable to reconcile OIDC token secret", t.Err.Error())
	case t.Secret == "":
		marks.MarkTrueWithReason(made, "Sink has no audience defined", "")
	default:
		marks.MarkTrue(made)
	}
}

// token makes the Secret with the token for the sink, or renews it, or takes it away.
func (r *Reconciler) token(ctx context.Context, in Input) Token {
	b := in.Binding
	audience, old := ptr.Deref(in.Sink.Audience, ""), ptr.Deref(b.Status.OIDCTokenSecretName, "")
	switch {
	case in.Sink.Err != nil || in.Sender.Err != nil:
		return Token{Secret: old} // workloads are left as they are
	case in.Sender.Account.Key.Name == "" || audience == "":
		if old == "" {
			return Token{}
		}
		return Token{Err: r.dropToken(ctx, b, old)}
	}
	key := types.NamespacedName{Namespace: b.Namespace, Name: naming.Child(b.Name, "-oidc-token")}
	if err := r.keepToken(ctx, b, key, in.Sender.Account, audience, in.Now); err != nil {
		return Token{Secret: old, Err: err}
	}
	return Token{Secret: key.Name}
}

func (r *Reconciler) keepToken(ctx context.Context, b *sourcesv1.SinkBinding, key types.NamespacedName, as model.Account, audience string, now time.Time) error {
	var have corev1.Secret
	err := r.Client.Get(ctx, key, &have)
	missing := apierrors.IsNotFound(err)
	switch {
	case err != nil && !missing:
		return fmt.Errorf("read Secret %s: %w", key, err)
	case !missing && !metav1.IsControlledBy(&have, b):
		return fmt.Errorf("Secret %s is there and does not belong to this SinkBinding; rename or delete it", key)
	case !missing && claimsOf(string(have.Data[tokenKey])).hold(as, audience, now.Add(leastLeft)):
		return nil
	}
	text, err := r.Tokens.Get(ctx, as, audience)
	if err != nil {
		return err
	}
	data := map[string][]byte{tokenKey: []byte(text)}
	if !missing {
		before := have.DeepCopy()
		have.Data = data
		if err := r.Client.Patch(ctx, &have, client.MergeFrom(before)); err != nil {
			return fmt.Errorf("renew the token in Secret %s: %w", key, err)
		}
		return nil
	}
	owner := metav1.NewControllerRef(b, sourcesv1.SchemeGroupVersion.WithKind("SinkBinding"))
	owner.BlockOwnerDeletion = ptr.To(false)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name, OwnerReferences: []metav1.OwnerReference{*owner}, Labels: map[string]string{identity.LabelKey: "enabled"},
		},
		Type: corev1.SecretTypeOpaque, Data: data,
	}
	if err := r.Client.Create(ctx, secret); err != nil {
		return fmt.Errorf("make Secret %s: %w", key, err)
	}
	return nil
}

// dropToken deletes a Secret if it is the SinkBinding's.
func (r *Reconciler) dropToken(ctx context.Context, b *sourcesv1.SinkBinding, name string) error {
	key := types.NamespacedName{Namespace: b.Namespace, Name: name}
	var have corev1.Secret
	err := r.Client.Get(ctx, key, &have)
	if err == nil && metav1.IsControlledBy(&have, b) {
		err = r.Client.Delete(ctx, &have, client.Preconditions{UID: &have.UID})
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Secret %s: %w", key, err)
	}
	return nil
}

// claims are what a token says of itself.
type claims struct {
	Audience   audiences `json:"aud"`
	Expires    int64     `json:"exp"`
	Kubernetes struct {
		Account struct {
			UID types.UID `json:"uid"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// audiences are one, as a text, or several.
type audiences []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audiences) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audiences{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// claimsOf reads a token without judging it; what is none claims nothing.
func claimsOf(token string) claims {
	var out claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return out
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(data, &out) != nil {
		return claims{}
	}
	return out
}

// hold reports whether it is a token of an account for an audience that holds until a time.
func (c claims) hold(as model.Account, audience string, until time.Time) bool {
	return c.Kubernetes.Account.UID == as.UID && slices.Contains(c.Audience, audience) && time.Unix(c.Expires, 0).After(until)
}
