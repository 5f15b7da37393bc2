package light

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	tokenCallTimeout = 10 * time.Second
	tokenSeconds     = 3607 // what the kubelet asks for, recognisable in the API server's audit log
)

// objects holds what pods refer to: ConfigMaps, Secrets and Services from watches, so that a start asks nobody, and tokens.
type objects struct {
	client     kubernetes.Interface
	log        *slog.Logger
	factory    informers.SharedInformerFactory
	configMaps corelisters.ConfigMapLister
	secrets    corelisters.SecretLister
	services   corelisters.ServiceLister
	accounts   corelisters.ServiceAccountLister
	// changed is told the namespace of a ConfigMap or Secret that changed.
	changed func(namespace string)

	mu     sync.Mutex
	shared map[tokenKey]token
	// boundOnly: the API server gives this node tokens for pods alone.
	boundOnly bool
}

type tokenKey struct {
	namespace, account string
	seconds            int64
}

type token struct {
	value   string
	refresh time.Time
}

func newObjects(client kubernetes.Interface, log *slog.Logger) *objects {
	f := informers.NewSharedInformerFactory(client, 0)
	return &objects{
		client: client, log: log, factory: f, shared: map[tokenKey]token{},
		configMaps: f.Core().V1().ConfigMaps().Lister(), secrets: f.Core().V1().Secrets().Lister(), services: f.Core().V1().Services().Lister(),
		accounts: f.Core().V1().ServiceAccounts().Lister(),
	}
}

func (o *objects) start(ctx context.Context) error {
	tell := func(obj any) {
		if m, ok := obj.(metav1.Object); ok && o.changed != nil {
			o.changed(m.GetNamespace())
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: tell, UpdateFunc: func(_, obj any) { tell(obj) }}
	for _, i := range []cache.SharedIndexInformer{o.factory.Core().V1().ConfigMaps().Informer(), o.factory.Core().V1().Secrets().Informer()} {
		if _, err := i.AddEventHandler(handler); err != nil {
			return err
		}
	}
	o.factory.Core().V1().Services().Informer()
	o.factory.Core().V1().ServiceAccounts().Informer()
	o.factory.Start(ctx.Done())
	for kind, ok := range o.factory.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return errors.New("watch of " + kind.String() + " did not begin")
		}
	}
	return nil
}

// ConfigMap implements volume.Source. What the watch has not brought yet is asked for: users apply a ConfigMap and its pod in one breath.
func (o *objects) ConfigMap(namespace, name string) (*corev1.ConfigMap, error) {
	cm, err := o.configMaps.ConfigMaps(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		ctx, cancel := context.WithTimeout(context.Background(), tokenCallTimeout)
		defer cancel()
		cm, err = o.client.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) {
		return nil, notFound{"configmap", name, err}
	}
	return cm, err
}

// Secret implements volume.Source.
func (o *objects) Secret(namespace, name string) (*corev1.Secret, error) {
	s, err := o.secrets.Secrets(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		ctx, cancel := context.WithTimeout(context.Background(), tokenCallTimeout)
		defer cancel()
		s, err = o.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) {
		return nil, notFound{"secret", name, err}
	}
	return s, err
}

// notFound words it as the kubelet does.
type notFound struct {
	kind, name string
	err        error
}

func (e notFound) Error() string { return e.kind + ` "` + e.name + `" not found` }
func (e notFound) Unwrap() error { return e.err }

func (o *objects) servicesOf(namespace string) []*corev1.Service {
	list, _ := o.services.Services(namespace).List(labels.Everything()) // a cache's list does not fail
	return list
}

// pullSecrets are the secrets for a pod's images; one that is missing is left out, as the kubelet does: the pull tells.
func (o *objects) pullSecrets(pod *corev1.Pod) []*corev1.Secret {
	refs := pod.Spec.ImagePullSecrets
	var out []*corev1.Secret
	for _, r := range refs {
		if s, err := o.Secret(pod.Namespace, r.Name); err == nil {
			out = append(out, s)
		}
	}
	return out
}

// sharedToken returns a token of the pod's account that is not bound to a pod. It is what a start uses, at no cost, until the pod's own is here.
func (o *objects) sharedToken(ctx context.Context, pod *corev1.Pod, p *corev1.ServiceAccountTokenProjection) (token, bool) {
	if p.Audience != "" {
		return token{}, false // somebody will look at it closely
	}
	key := tokenKey{pod.Namespace, pod.Spec.ServiceAccountName, seconds(p)}
	o.mu.Lock()
	t, ok := o.shared[key]
	denied := o.boundOnly
	o.mu.Unlock()
	if denied {
		return token{}, false
	}
	if ok && time.Now().Before(t.refresh) {
		return t, true
	}
	t, err := o.request(ctx, pod, p, false)
	o.mu.Lock()
	defer o.mu.Unlock()
	if apierrors.IsForbidden(err) {
		o.boundOnly = true
	}
	if err != nil {
		return token{}, false
	}
	o.shared[key] = t
	return t, true
}

func seconds(p *corev1.ServiceAccountTokenProjection) int64 {
	if p.ExpirationSeconds != nil {
		return *p.ExpirationSeconds
	}
	return tokenSeconds
}

// request asks for a token, bound to the pod or not.
func (o *objects) request(ctx context.Context, pod *corev1.Pod, p *corev1.ServiceAccountTokenProjection, bound bool) (token, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenCallTimeout)
	defer cancel()
	life := seconds(p)
	r := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{ExpirationSeconds: &life}}
	if p.Audience != "" {
		r.Spec.Audiences = []string{p.Audience}
	}
	if bound {
		r.Spec.BoundObjectRef = &authv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
	}
	began := time.Now()
	got, err := o.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, r, metav1.CreateOptions{})
	if err != nil {
		return token{}, err
	}
	lifetime := got.Status.ExpirationTimestamp.Sub(began)
	return token{value: got.Status.Token, refresh: began.Add(lifetime * 8 / 10)}, nil
}
