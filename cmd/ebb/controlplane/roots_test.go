package controlplane

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"ebb.dev/ebb/test/mesh"
	"ebb.dev/ebb/xds/identity"
)

// A control plane that runs for months is believed by the API server on every day of them: the registration of its webhooks follows its roots,
// also where it could not be written at first.
func TestTheRegistrationFollowsTheRoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		ca, err := identity.OpenCA(t.Context(), "cluster.local", new(mesh.Memory), time.Now, log)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		go ca.Run(ctx)
		service := "ebb-control-plane"
		registered := endpoint(ca, service, &net.TCPAddr{})("/").CABundle
		told, refused := 0, 0
		_, changed := ca.Roots()
		go followRoots(ctx, ca, changed, log, func(context.Context) error {
			if told == refused {
				refused++
				return errors.New("the API server is away")
			}
			told++
			registered = endpoint(ca, service, &net.TCPAddr{})("/").CABundle
			return nil
		})
		hooks := &webhookServer{ca: ca, trustDomain: "cluster.local", names: []string{service}}
		for day := range 200 {
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			certificate, err := hooks.get(nil)
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(certificate.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(registered)
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: service, CurrentTime: time.Now()}); err != nil {
				t.Fatalf("day %d: %v", day, err)
			}
		}
		if told < 4 || refused != told {
			t.Errorf("told %d times of new roots, refused %d times", told, refused)
		}
		stop()
		synctest.Wait()
	})
}
