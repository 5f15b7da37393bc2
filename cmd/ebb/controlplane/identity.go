package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
)

// reviewer asks the API server whose a token is.
type reviewer struct{ kube kubernetes.Interface }

// Claims about what a token is bound to, as the API server states them.
const (
	podClaim  = "authentication.kubernetes.io/pod-name"
	nodeClaim = "authentication.kubernetes.io/node-name"
)

// Review implements identity.Reviewer.
func (r reviewer) Review(ctx context.Context, token, audience string) (identity.Claims, error) {
	review, err := r.kube.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}},
	}, metav1.CreateOptions{})
	if err != nil {
		return identity.Claims{}, fmt.Errorf("review a token: %w", err)
	}
	if !review.Status.Authenticated {
		return identity.Claims{}, fmt.Errorf("the API server does not believe it: %s", review.Status.Error)
	}
	rest, ok := strings.CutPrefix(review.Status.User.Username, "system:serviceaccount:")
	namespace, name, both := strings.Cut(rest, ":")
	if !ok || !both {
		return identity.Claims{}, fmt.Errorf("%q is no service account", review.Status.User.Username)
	}
	claims := identity.Claims{Account: model.Key{Namespace: namespace, Name: name}}
	if values := review.Status.User.Extra[podClaim]; len(values) == 1 {
		claims.Pod = values[0]
	}
	if values := review.Status.User.Extra[nodeClaim]; len(values) == 1 {
		claims.Node = values[0]
	}
	return claims, nil
}

// fileKeeper keeps the CA in a file, for a laptop.
type fileKeeper struct{ path string }

// Load implements identity.Keeper.
func (k fileKeeper) Load(context.Context) ([]byte, error) {
	data, err := os.ReadFile(k.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Save implements identity.Keeper. The file is whole or not there.
func (k fileKeeper) Save(_ context.Context, data []byte) error {
	return writeWhole(k.path, data, 0o600)
}

func writeWhole(path string, data []byte, mode os.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	if _, err := temporary.Write(data); err != nil {
		temporary.Close()
		return err
	}
	if err := errors.Join(temporary.Chmod(mode), temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}

// secretKeeper keeps the CA in a Secret, for a cluster. Whoever may read Secrets of ebb-system may be anybody.
type secretKeeper struct {
	kube            kubernetes.Interface
	namespace, name string
}

const rootsKey = "roots.pem"

// Load implements identity.Keeper.
func (k secretKeeper) Load(ctx context.Context) ([]byte, error) {
	secret, err := k.kube.CoreV1().Secrets(k.namespace).Get(ctx, k.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return secret.Data[rootsKey], nil
}

// Save implements identity.Keeper.
func (k secretKeeper) Save(ctx context.Context, data []byte) error {
	secrets := k.kube.CoreV1().Secrets(k.namespace)
	secret, err := secrets.Get(ctx, k.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: k.name, Namespace: k.namespace},
			Data:       map[string][]byte{rootsKey: data},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	secret = secret.DeepCopy()
	secret.Data = map[string][]byte{rootsKey: data}
	_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	return err
}
