package destination

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
)

// Resolved is where a destination is.
type Resolved struct {
	// URL is absolute.
	URL string
	// CACerts and Audience are nil where there are none.
	CACerts, Audience *string
	// Service is the Kubernetes Service that the URL names; zero for anything else.
	Service types.NamespacedName
}

// Unresolved says why a destination has no URL. It may have one later: what it refers to is missing or has no address yet.
type Unresolved struct{ Reason, Message string }

func (u *Unresolved) Error() string { return u.Message }

// Resolver resolves.
type Resolver struct {
	// Reader reads objects of any kind, Mapper knows which kinds are served.
	Reader client.Reader
	Mapper meta.RESTMapper
	// ClusterDomain is the DNS domain of Services.
	ClusterDomain string
}

// Resolve returns where a destination is, for an object of a namespace. An error that is no *Unresolved is worth another try.
func (r *Resolver) Resolve(ctx context.Context, d duck.Destination, namespace string) (Resolved, error) {
	var out Resolved
	if d.Ref != nil {
		var err error
		if out, err = r.ref(ctx, *d.Ref, namespace); err != nil {
			return Resolved{}, err
		}
	}
	if d.URI != nil {
		if err := out.at(*d.URI); err != nil {
			return Resolved{}, err
		}
	}
	if out.URL == "" {
		return Resolved{}, &Unresolved{"MissingDestination", "the destination names neither ref nor uri; give one"}
	}
	if d.CACerts != nil {
		out.CACerts = d.CACerts
	}
	if d.Audience != nil {
		out.Audience = d.Audience
	}
	return out, nil
}

// at resolves a URI against what the ref gave.
func (out *Resolved) at(uri string) error {
	u, err := url.Parse(uri)
	if err != nil {
		return &Unresolved{"BadURI", fmt.Sprintf("uri %q: %v", uri, err)}
	}
	if out.URL == "" {
		if !u.IsAbs() || u.Host == "" {
			return &Unresolved{"BadURI", fmt.Sprintf("uri %q is not absolute and there is no ref to resolve it against", uri)}
		}
		out.URL = u.String()
		return nil
	}
	base, err := url.Parse(out.URL)
	if err != nil {
		return fmt.Errorf("address %q: %w", out.URL, err)
	}
	if u.IsAbs() {
		return &Unresolved{"BadURI", fmt.Sprintf("uri %q is absolute although there is a ref; make it relative or drop the ref", uri)}
	}
	out.URL = base.ResolveReference(u).String()
	return nil
}

// KindOf is the kind a reference means; its group alone resolves to the version that is served.
func (r *Resolver) KindOf(ref duck.KReference) (schema.GroupVersionKind, error) {
	if ref.APIVersion != "" {
		return schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind), nil
	}
	mapping, err := r.Mapper.RESTMapping(schema.GroupKind{Group: ref.Group, Kind: ref.Kind})
	if meta.IsNoMatchError(err) {
		return schema.GroupVersionKind{}, &Unresolved{"UnknownKind", fmt.Sprintf("kind %s of group %q is not served here", ref.Kind, ref.Group)}
	}
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	return mapping.GroupVersionKind, nil
}

func (r *Resolver) ref(ctx context.Context, ref duck.KReference, namespace string) (Resolved, error) {
	if ref.Namespace == "" {
		ref.Namespace = namespace
	}
	name := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	kind, err := r.KindOf(ref)
	if err != nil {
		return Resolved{}, err
	}
	if kind == corev1.SchemeGroupVersion.WithKind("Service") {
		return r.service(ctx, name)
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	switch err := r.Reader.Get(ctx, name, object); {
	case apierrors.IsNotFound(err):
		return Resolved{}, &Unresolved{"NotFound", fmt.Sprintf("%s %s does not exist", kind.Kind, name)}
	case meta.IsNoMatchError(err):
		return Resolved{}, &Unresolved{"UnknownKind", fmt.Sprintf("kind %s of %s is not served here", kind.Kind, kind.GroupVersion())}
	case err != nil:
		return Resolved{}, fmt.Errorf("read %s %s: %w", kind.Kind, name, err)
	}
	return addressOf(object, ref.Address)
}

func (r *Resolver) service(ctx context.Context, name types.NamespacedName) (Resolved, error) {
	var service corev1.Service
	switch err := r.Reader.Get(ctx, name, &service); {
	case apierrors.IsNotFound(err):
		return Resolved{}, &Unresolved{"NotFound", fmt.Sprintf("Service %s does not exist", name)}
	case err != nil:
		return Resolved{}, fmt.Errorf("read Service %s: %w", name, err)
	}
	return Resolved{URL: fmt.Sprintf("http://%s.%s.svc.%s", name.Name, name.Namespace, r.ClusterDomain), Service: name}, nil
}

// addressOf reads an Addressable's address: the named one, or https before http, or the only one.
func addressOf(object *unstructured.Unstructured, named *string) (Resolved, error) {
	what := fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
	addresses, _, _ := unstructured.NestedSlice(object.Object, "status", "addresses")
	if one, found, _ := unstructured.NestedMap(object.Object, "status", "address"); found && len(addresses) == 0 {
		addresses = append(addresses, one)
	}
	var best map[string]any
	for _, entry := range addresses {
		address, ok := entry.(map[string]any)
		if !ok || text(address, "url") == "" {
			continue
		}
		switch {
		case named != nil:
			if text(address, "name") == *named {
				best = address
			}
		case best == nil || strings.HasPrefix(text(address, "url"), "https:") && !strings.HasPrefix(text(best, "url"), "https:"):
			best = address
		}
	}
	switch {
	case best == nil && named != nil:
		return Resolved{}, &Unresolved{"NoAddress", fmt.Sprintf("%s has no address called %q", what, *named)}
	case best == nil:
		return Resolved{}, &Unresolved{"NoAddress", what + " has no address yet: status.address.url is empty"}
	}
	out := Resolved{URL: text(best, "url")}
	for key, field := range map[string]**string{"CACerts": &out.CACerts, "audience": &out.Audience} {
		if value := text(best, key); value != "" {
			*field = &value
		}
	}
	return out, nil
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}
