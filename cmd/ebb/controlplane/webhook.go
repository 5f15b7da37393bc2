package controlplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/cmd/ebb/serve"
	"ebb.dev/ebb/crds/admission"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
)

// webhookServer serves admission with a certificate of our own CA.
type webhookServer struct {
	ca          *identity.CA
	trustDomain string
	names       []string

	mu          sync.Mutex
	certificate *tls.Certificate
	renew       time.Time
}

func (w *webhookServer) serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	config := &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: w.get}
	return serve.HTTP(ctx, listener, handler, serve.Options{TLS: config})
}

// get makes the certificate and renews it at half of its life.
func (w *webhookServer) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.certificate != nil && now.Before(w.renew) {
		return w.certificate, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the webhook's key: %w", err)
	}
	subject := identity.Subject{ID: model.EbbID(w.trustDomain, model.RoleControlPlane, ""), DNS: w.names}
	chain, notAfter, err := w.ca.Issue(subject, key.Public())
	if err != nil {
		return nil, err
	}
	w.certificate = &tls.Certificate{Certificate: chain, PrivateKey: key}
	w.renew = now.Add(notAfter.Sub(now) / 2)
	return w.certificate, nil
}

// listenAgain opens the port that the API server has on record for us, if it is free: until the new registration is
// written, requests go there. Otherwise any.
func listenAgain(ctx context.Context, c client.Client, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port != "0" {
		return serve.Listen(ctx, address)
	}
	var have admissionregistrationv1.MutatingWebhookConfiguration
	if err := c.Get(ctx, client.ObjectKey{Name: admission.MutatingName}, &have); err == nil && len(have.Webhooks) > 0 {
		if recorded, err := url.Parse(ptr.Deref(have.Webhooks[0].ClientConfig.URL, "")); err == nil && recorded.Port() != "" {
			if listener, err := serve.Listen(ctx, net.JoinHostPort(host, recorded.Port())); err == nil {
				return listener, nil
			}
		}
	}
	return serve.Listen(ctx, address)
}

// localWebhook is the name in the certificate of a webhook that is served on loopback.
const localWebhook = "localhost"

// endpoint says where the API server finds the webhooks: a Service in a cluster, a port of this machine otherwise.
func endpoint(ca *identity.CA, service string, address net.Addr) func(string) admissionregistrationv1.WebhookClientConfig {
	bundle := ca.RootsPEM()
	return func(path string) admissionregistrationv1.WebhookClientConfig {
		if service != "" {
			return admissionregistrationv1.WebhookClientConfig{CABundle: bundle, Service: &admissionregistrationv1.ServiceReference{
				Namespace: systemNamespaces[0], Name: service, Path: ptr.To(path), Port: ptr.To[int32](443),
			}}
		}
		port := address.(*net.TCPAddr).Port
		return admissionregistrationv1.WebhookClientConfig{
			CABundle: bundle, URL: ptr.To(fmt.Sprintf("https://%s:%d%s", localWebhook, port, path)),
		}
	}
}
