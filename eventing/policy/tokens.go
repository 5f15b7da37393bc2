package policy

import (
	"context"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// lifetime is that of the tokens that are asked for, in seconds; each is used for half of it.
const lifetime = 3600

// Tokens are those by which a ServiceAccount proves who it is. The methods may be called at once.
type Tokens struct {
	Client  client.Client
	Account types.NamespacedName
	Clock   clock.PassiveClock

	mu    sync.Mutex
	known map[string]token
}

type token struct {
	text  string
	until time.Time
}

// Subject is the identity of the tokens.
func (t *Tokens) Subject() string {
	return "system:serviceaccount:" + t.Account.Namespace + ":" + t.Account.Name
}

// Get is a token for an audience.
func (t *Tokens) Get(ctx context.Context, audience string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if have, ok := t.known[audience]; ok && t.Clock.Now().Before(have.until) {
		return have.text, nil
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: t.Account.Namespace, Name: t.Account.Name}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: ptr.To[int64](lifetime)}}
	err := t.Client.SubResource("token").Create(ctx, account, request)
	if apierrors.IsNotFound(err) {
		if err := t.Client.Create(ctx, account); err != nil && !apierrors.IsAlreadyExists(err) {
			return "", fmt.Errorf("make ServiceAccount %s: %w", t.Account, err)
		}
		err = t.Client.SubResource("token").Create(ctx, account, request)
	}
	if err != nil {
		return "", fmt.Errorf("ask for a token of ServiceAccount %s: %w", t.Account, err)
	}
	now := t.Clock.Now()
	if t.known == nil || len(t.known) >= remembered {
		t.known = map[string]token{}
	}
	t.known[audience] = token{request.Status.Token, now.Add(request.Status.ExpirationTimestamp.Sub(now) / 2)}
	return request.Status.Token, nil
}
