package broker

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/eventing"
)

// secretKey is where Secrets have the key that this process signs with. Whatever else one has are keys of before.
const secretKey = "key"

// keysFor is for how long keys that were read are used.
const keysFor = 10 * time.Second

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

// keyring reads keys of Secrets, again and again.
type keyring struct {
	client client.Reader
	clock  clock.PassiveClock

	mu    sync.Mutex
	known map[client.ObjectKey]keysRead
}

type keysRead struct {
	keys [][]byte
	at   time.Time
}

func newKeyring(c client.Reader, clock clock.PassiveClock) *keyring {
	return &keyring{client: c, clock: clock, known: map[client.ObjectKey]keysRead{}}
}

// get are the keys of the first of these Secrets that there is: the one to sign with, then those of before, by their names.
func (r *keyring) get(ctx context.Context, secrets ...client.ObjectKey) ([][]byte, error) {
	r.mu.Lock()
	known, ok := r.known[secrets[0]]
	r.mu.Unlock()
	if ok && r.clock.Since(known.at) < keysFor {
		return known.keys, nil
	}
	var keys [][]byte
	var err error
	for _, secret := range secrets {
		if keys, err = readKeys(ctx, r.client, secret); !apierrors.IsNotFound(err) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[secrets[0]] = keysRead{keys, r.clock.Now()}
	return keys, nil
}

func readKeys(ctx context.Context, c client.Reader, name client.ObjectKey) ([][]byte, error) {
	var secret corev1.Secret
	if err := c.Get(ctx, name, &secret); err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", name, err)
	}
	if len(secret.Data[secretKey]) == 0 {
		return nil, fmt.Errorf("Secret %s has no %q, or an empty one: give it the key to sign with", name, secretKey)
	}
	keys := [][]byte{secret.Data[secretKey]}
	for _, before := range slices.Sorted(maps.Keys(secret.Data)) {
		if key := secret.Data[before]; before != secretKey && len(key) > 0 {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
