package controlplane

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/deploy/local/rootless"
	"ebb.dev/ebb/serving"
)

// setupServing registers the reconcilers of the serving room.
func (c *controlPlane) setupServing() error {
	resolver, err := c.resolver()
	if err != nil {
		return err
	}
	port := int32(0)
	if c.ExternalPort != 80 {
		port = int32(c.ExternalPort)
	}
	return serving.Setup(c.manager, serving.Options{
		Settings: c.settings, ClusterDomain: c.ClusterDomain,
		Images: images{resolver: resolver, kube: c.kube}, ImagesChanged: c.imagesChanged,
		Gateways:          programmer{plane: c.plane, watcher: c.watcher},
		PublicGatewayHost: c.InternalHost, InternalGatewayHost: c.InternalHost, ExternalPort: port,
		DefaultReplicaProxy: serving.ReplicaProxy(c.ReplicaProxy), PreStop: c.preStop, Sidecar: c.sidecar, Log: c.Log,
	})
}

// resolver looks image names up in the local store, if there is one, and at registries.
func (c *controlPlane) resolver() (*image.Resolver, error) {
	resolver := &image.Resolver{}
	if c.Images != "" {
		store, err := image.Open(c.Images)
		if err != nil {
			return nil, err
		}
		resolver.Store = store
	}
	if c.EgressSocket != "" {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return rootless.Dial(ctx, c.EgressSocket, network, address)
		}
		resolver.Transport = transport
	}
	return resolver, nil
}

// images resolves names with the credentials that the pod would have.
type images struct {
	resolver *image.Resolver
	kube     kubernetes.Interface
}

// Resolve implements serving.ImageResolver.
func (i images) Resolve(ctx context.Context, request serving.ResolveRequest) (string, error) {
	names := append([]string(nil), request.PullSecrets...)
	account, err := i.kube.CoreV1().ServiceAccounts(request.Namespace).Get(ctx, request.ServiceAccount, metav1.GetOptions{})
	switch {
	case err == nil:
		for _, secret := range account.ImagePullSecrets {
			names = append(names, secret.Name)
		}
	case !apierrors.IsNotFound(err):
		return "", fmt.Errorf("service account %s/%s: %w", request.Namespace, request.ServiceAccount, err)
	}
	var secrets []*corev1.Secret
	for _, name := range names {
		secret, err := i.kube.CoreV1().Secrets(request.Namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue // as the kubelet does
		}
		if err != nil {
			return "", fmt.Errorf("pull secret %s/%s: %w", request.Namespace, name, err)
		}
		secrets = append(secrets, secret)
	}
	keychain, err := image.NewKeychain(secrets...)
	if err != nil {
		return "", err
	}
	resolved, err := i.resolver.Resolve(ctx, request.Image, keychain)
	if err != nil {
		return "", err
	}
	return resolved.Pinned(), nil
}

// drainWithin bounds a preStop hook that a revision's own timeout does not bound.
const drainWithin = 10 * time.Minute

// preStop makes a replica behind a node's proxies wait until it is out of service: the kubelet asks the node agent, whose
// address is the same on every node.
func (c *controlPlane) preStop(revision *servingv1.Revision) *corev1.LifecycleHandler {
	host, port, err := net.SplitHostPort(c.DrainAddress)
	if err != nil {
		return nil
	}
	query := url.Values{"namespace": {revision.Namespace}, "revision": {revision.Name}, "within": {longestRequest(revision).String()}}
	return &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{
		Host: host, Port: intstr.Parse(port), Path: "/drain?" + query.Encode(), Scheme: corev1.URISchemeHTTP,
	}}
}
