package broker

import (
	"context"
	"crypto/rand"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/eventing"
)

// secretKey is where Secrets have the keys that this process signs with.
const secretKey = "key"

// randomKey is a key that nobody knows.
func randomKey() []byte {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	return random
}

// ensureKey makes a Secret of the platform with a key, unless it is there.
func ensureKey(ctx context.Context, c client.Client, name string, key []byte) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: eventing.SystemNamespace, Name: name}, Data: map[string][]byte{secretKey: key}}
	if err := c.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make Secret %s/%s: %w", secret.Namespace, name, err)
	}
	return nil
}

// readKey is the key that a Secret has.
func readKey(ctx context.Context, c client.Client, namespace, name string) ([]byte, error) {
	var secret corev1.Secret
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &secret); err != nil {
		return nil, fmt.Errorf("read Secret %s/%s: %w", namespace, name, err)
	}
	key := secret.Data[secretKey]
	if len(key) == 0 {
		return nil, fmt.Errorf("Secret %s/%s has no %q, or an empty one", namespace, name, secretKey)
	}
	return key, nil
}
