package watch

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/xds/build"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// plainServices are the Services that ingresses route to and that are no revision's, with what is known of them.
type plainServices struct {
	// users are the backends of each ingress.
	users map[model.Owner][]build.Backend
	// backends counts the ingresses that use a backend, by its Service.
	backends map[model.Key]map[build.Backend]int
	services map[model.Key]*corev1.Service
	slices   map[model.Key]map[string]*discoveryv1.EndpointSlice
	// ingresses are those that are served, as they were told last.
	ingresses map[model.Owner]*networkingv1alpha1.Ingress
}

func newPlainServices() plainServices {
	return plainServices{
		users: map[model.Owner][]build.Backend{}, backends: map[model.Key]map[build.Backend]int{},
		services: map[model.Key]*corev1.Service{}, slices: map[model.Key]map[string]*discoveryv1.EndpointSlice{},
		ingresses: map[model.Owner]*networkingv1alpha1.Ingress{},
	}
}

// Apply makes an ingress's virtual hosts those of the store, now, and returns the hosts that another ingress has. What a
// reconciler holds may be older than what was told already: that stands, and an ingress that is gone stays so.
func (w *Watcher) Apply(ingress *networkingv1alpha1.Ingress) (refused []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	newest, exists := w.newest(ingress)
	if !exists {
		w.remove(build.IngressOwner(ingress))
		return nil
	}
	return w.apply(newest)
}

// newest returns the ingress as the informers have it if that is newer, and whether it exists.
func (w *Watcher) newest(ingress *networkingv1alpha1.Ingress) (*networkingv1alpha1.Ingress, bool) {
	if w.current == nil {
		return ingress, true
	}
	have := &networkingv1alpha1.Ingress{}
	err := w.current.Get(context.Background(), client.ObjectKeyFromObject(ingress), have)
	switch {
	case apierrors.IsNotFound(err):
		return nil, false
	case err != nil:
		w.log.Error("an ingress was not read", "ingress", keyOf(ingress).String(), "error", err)
		return ingress, true
	case have.UID == ingress.UID && have.Generation <= ingress.Generation:
		return ingress, true
	}
	return have, true
}

// apply is Apply for what is known to be the newest. The caller holds mu.
func (w *Watcher) apply(ingress *networkingv1alpha1.Ingress) (refused []string) {
	owner := build.IngressOwner(ingress)
	if ingress.DeletionTimestamp != nil || !w.Serves(ingress) {
		w.remove(owner)
		return nil
	}
	w.plain.ingresses[owner] = ingress
	vhosts, backends := build.VHosts(ingress, w.plain.services[build.AsyncBackend.Service] != nil)
	before := w.plain.users[owner]
	w.plain.users[owner] = backends
	for _, b := range backends {
		if w.plain.backends[b.Service] == nil {
			w.plain.backends[b.Service] = map[build.Backend]int{}
		}
		w.plain.backends[b.Service][b]++
	}
	w.store.Write(func(tx *store.Tx) {
		for _, b := range backends {
			w.putBackend(tx, b)
		}
		refused = tx.SetVHosts(owner, vhosts)
		w.release(tx, before)
	})
	return refused
}

func (w *Watcher) ingress(ingress *networkingv1alpha1.Ingress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if refused := w.apply(ingress); len(refused) > 0 {
		w.log.Warn("hosts belong to another ingress", "ingress", keyOf(ingress).String(), "hosts", refused)
	}
}

func (w *Watcher) ingressGone(ingress *networkingv1alpha1.Ingress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(build.IngressOwner(ingress))
}

// Forget withdraws what an ingress said that is not ours any more, until it is told of again.
func (w *Watcher) Forget(ingress model.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(model.Owner{Kind: build.IngressKind, Key: ingress})
}

func (w *Watcher) remove(owner model.Owner) {
	before := w.plain.users[owner]
	delete(w.plain.users, owner)
	delete(w.plain.ingresses, owner)
	w.store.Write(func(tx *store.Tx) {
		tx.SetVHosts(owner, nil)
		w.release(tx, before)
	})
}

// release drops the backends that nobody uses any more.
func (w *Watcher) release(tx *store.Tx, backends []build.Backend) {
	for _, b := range backends {
		users := w.plain.backends[b.Service]
		if users[b]--; users[b] > 0 {
			continue
		}
		delete(users, b)
		if len(users) == 0 {
			delete(w.plain.backends, b.Service)
		}
		tx.DeleteService(b.Cluster())
	}
}

func (w *Watcher) putBackend(tx *store.Tx, b build.Backend) {
	var slices []*discoveryv1.EndpointSlice
	for _, slice := range w.plain.slices[b.Service] {
		slices = append(slices, slice)
	}
	owner := model.Owner{Kind: "Service", Key: b.Service}
	tx.SetService(build.Service(b, owner, w.plain.services[b.Service], slices))
}

func (w *Watcher) service(service *corev1.Service) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, was := w.plain.services[keyOf(service)]
	w.plain.services[keyOf(service)] = service
	w.backendsChanged(keyOf(service))
	if !was && keyOf(service) == build.AsyncBackend.Service {
		w.applyAll()
	}
}

// applyAll looks at every ingress again: there is now, or no more, somebody who answers later. The caller holds mu.
func (w *Watcher) applyAll() {
	for _, ingress := range w.plain.ingresses {
		w.apply(ingress)
	}
}

func (w *Watcher) serviceGone(service *corev1.Service) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.plain.services, keyOf(service))
	w.backendsChanged(keyOf(service))
	if keyOf(service) == build.AsyncBackend.Service {
		w.applyAll()
	}
}

func serviceOf(slice *discoveryv1.EndpointSlice) model.Key {
	return model.Key{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
}

func (w *Watcher) slice(slice *discoveryv1.EndpointSlice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	service := serviceOf(slice)
	if w.plain.slices[service] == nil {
		w.plain.slices[service] = map[string]*discoveryv1.EndpointSlice{}
	}
	w.plain.slices[service][slice.Name] = slice
	w.backendsChanged(service)
}

func (w *Watcher) sliceGone(slice *discoveryv1.EndpointSlice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	service := serviceOf(slice)
	delete(w.plain.slices[service], slice.Name)
	if len(w.plain.slices[service]) == 0 {
		delete(w.plain.slices, service)
	}
	w.backendsChanged(service)
}

// backendsChanged writes the backends of a Service again. The caller holds mu.
func (w *Watcher) backendsChanged(service model.Key) {
	touched := w.plain.backends[service]
	if len(touched) == 0 {
		return
	}
	w.store.Write(func(tx *store.Tx) {
		for b := range touched {
			w.putBackend(tx, b)
		}
	})
}
