package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ociv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// DefaultResolveTimeout bounds a look-up at a registry, as config-deployment's digest-resolution-timeout does by default.
const DefaultResolveTimeout = 10 * time.Second

// Resolver turns image names into digests and, for the light node, brings images into the store: from the store first, else from the name's registry.
type Resolver struct {
	Store *Store
	// Transport carries the requests to registries; nil is a plain one. A node without a network of its own sets its DialContext.
	Transport http.RoundTripper
	// Timeout bounds one look-up; 0 is DefaultResolveTimeout. It does not bound the transfer of layers in Pull.
	Timeout time.Duration
}

// Resolved is what a name stands for.
type Resolved struct {
	Ref    Ref
	Digest ociv1.Hash
	Config *ociv1.ConfigFile // nil where it was not asked for
	Local  bool              // found in the store
}

// Pinned is the name by digest: gcr.io/knative-samples/helloworld-go@sha256:…
func (r Resolved) Pinned() string { return r.Ref.Name() + "@" + r.Digest.String() }

// Error says why an image cannot be had, in the words that Knative's conditions use, and what to do.
type Error struct {
	Image  string // as the user wrote it
	Reason error
	Remedy string // may be empty
	// Unreachable says that no registry answered, so that trying later may help.
	Unreachable bool
}

func (e *Error) Error() string {
	s := fmt.Sprintf("Unable to fetch image %q: failed to resolve image to digest: %v", e.Image, e.Reason)
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

func (e *Error) Unwrap() error { return e.Reason }

// Resolve finds the digest of an image name, in the store or at its registry with the credentials of keychain (nil: anonymous). It transfers no layers.
func (r *Resolver) Resolve(ctx context.Context, image string, keychain authn.Keychain) (Resolved, error) {
	ref, local, err := r.local(image)
	if err != nil || local.Local {
		return local, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	desc, err := r.head(ctx, ref, keychain)
	if err != nil {
		return Resolved{}, r.explain(image, ref, err)
	}
	return Resolved{Ref: ref, Digest: desc.Digest}, nil
}

// Config finds the digest and the configuration of an image, for callers that need its ports, user or command.
func (r *Resolver) Config(ctx context.Context, image string, keychain authn.Keychain) (Resolved, error) {
	ref, local, err := r.local(image)
	if err != nil || local.Local {
		return local, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	desc, err := r.get(ctx, ref, keychain)
	if err != nil {
		return Resolved{}, r.explain(image, ref, err)
	}
	img, err := desc.Image()
	if err != nil {
		return Resolved{}, r.explain(image, ref, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return Resolved{}, r.explain(image, ref, err)
	}
	return Resolved{Ref: ref, Digest: desc.Digest, Config: config}, nil
}

// Pull brings the image into the store under its name, unless it is there. always asks the registry also then, if the
// image came from one: what a user built or imported stands in for a remote image of the same name. If the registry cannot be asked, the store's stays.
func (r *Resolver) Pull(ctx context.Context, image string, keychain authn.Keychain, always bool) (Resolved, error) {
	ref, local, err := r.local(image)
	if err != nil || local.Local && (!always || ref.Digest != "" || !r.Store.pulled(ref)) {
		return local, err
	}
	resolved, err := r.pull(ctx, ref, keychain)
	if err != nil && local.Local {
		return local, nil
	}
	if err != nil {
		return Resolved{}, r.explain(image, ref, err)
	}
	return resolved, nil
}

// local looks into the store. Resolved.Local tells whether it was there; the Ref is set in any case.
func (r *Resolver) local(image string) (Ref, Resolved, error) {
	ref, err := ParseRef(image)
	if err != nil {
		return Ref{}, Resolved{}, &Error{Image: image, Reason: err}
	}
	digest, err := r.Store.Lookup(ref)
	if errors.Is(err, ErrNotFound) {
		return ref, Resolved{}, nil
	}
	if err != nil {
		return ref, Resolved{}, &Error{Image: image, Reason: err}
	}
	img, err := r.Store.Image(digest)
	if err != nil {
		return ref, Resolved{}, &Error{Image: image, Reason: err, Remedy: "remove it with ebb image rm and import it again"}
	}
	return ref, Resolved{Ref: ref, Digest: digest, Config: img.Config, Local: true}, nil
}

func (r *Resolver) pull(ctx context.Context, ref Ref, keychain authn.Keychain) (Resolved, error) {
	lookup, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	desc, err := r.get(lookup, ref, keychain)
	if err != nil {
		return Resolved{}, err
	}
	// The layers take as long as they take: a second, unhurried look at the same digest.
	pinned := Ref{Domain: ref.Domain, Repository: ref.Repository, Digest: desc.Digest.String()}
	if desc, err = r.get(ctx, pinned, keychain); err != nil {
		return Resolved{}, err
	}
	img, err := desc.Image()
	if err != nil {
		return Resolved{}, err
	}
	if err := r.Store.put(img); err != nil {
		return Resolved{}, err
	}
	if desc.MediaType.IsIndex() {
		if _, err := r.Store.putBytes(desc.Manifest); err != nil {
			return Resolved{}, err
		}
	}
	// A name by digest gets an entry of its own, or a sweep would take it.
	if err := r.Store.tag(ref, desc.Digest, true); err != nil {
		return Resolved{}, err
	}
	config, err := img.ConfigFile()
	return Resolved{Ref: ref, Digest: desc.Digest, Config: config}, err
}

// put stores layers and config first, the manifest last.
func (s *Store) put(img ociv1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		if err := s.putRemoteLayer(l); err != nil {
			return err
		}
	}
	for _, raw := range []func() ([]byte, error){img.RawConfigFile, img.RawManifest} {
		content, err := raw()
		if err != nil {
			return err
		}
		if _, err := s.putBytes(content); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) putRemoteLayer(l ociv1.Layer) error {
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	if f, err := s.openBlob(digest); err == nil {
		return f.Close()
	}
	content, err := l.Compressed()
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = s.putBlob(content, digest)
	return err
}

func (r *Resolver) timeout() time.Duration {
	if r.Timeout > 0 {
		return r.Timeout
	}
	return DefaultResolveTimeout
}

func (r *Resolver) head(ctx context.Context, ref Ref, keychain authn.Keychain) (*ociv1.Descriptor, error) {
	remoteRef, options, err := r.request(ctx, ref, keychain)
	if err != nil {
		return nil, err
	}
	desc, err := remote.Head(remoteRef, options...)
	var status *transport.Error
	if errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden || status.StatusCode == http.StatusNotFound) {
		return nil, err
	}
	if err != nil && ctx.Err() == nil && !isUnreachable(err) {
		// Some registries answer GET alone.
		if full, getErr := remote.Get(remoteRef, options...); getErr == nil {
			return &full.Descriptor, nil
		}
	}
	return desc, err
}

func (r *Resolver) get(ctx context.Context, ref Ref, keychain authn.Keychain) (*remote.Descriptor, error) {
	remoteRef, options, err := r.request(ctx, ref, keychain)
	if err != nil {
		return nil, err
	}
	return remote.Get(remoteRef, options...)
}

func (r *Resolver) request(ctx context.Context, ref Ref, keychain authn.Keychain) (name.Reference, []remote.Option, error) {
	written := ref.Name() + ":" + ref.Tag
	if ref.Digest != "" {
		written = ref.Name() + "@" + ref.Digest
	}
	remoteRef, err := name.ParseReference(written, name.WithDefaultRegistry(""))
	if err != nil {
		return nil, nil, err
	}
	if keychain == nil {
		keychain = &Keychain{}
	}
	options := []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuthFromKeychain(keychain),
		remote.WithPlatform(ociv1.Platform{OS: "linux", Architecture: runtime.GOARCH}),
		// A person waits for the answer: an unreachable registry is told at once, the caller retries in its own rhythm.
		remote.WithRetryBackoff(remote.Backoff{Duration: 100 * time.Millisecond, Factor: 1, Steps: 1}),
	}
	if r.Transport != nil {
		options = append(options, remote.WithTransport(r.Transport))
	}
	return remoteRef, options, nil
}

// explain puts an error into Knative's words and adds what the user can do about it.
func (r *Resolver) explain(image string, ref Ref, err error) error {
	e := &Error{Image: image, Reason: err, Unreachable: isUnreachable(err)}
	short := ref.Familiar()
	if tagless, ok := strings.CutSuffix(short, ":"+defaultTag); ok && !strings.HasSuffix(image, ":"+defaultTag) {
		short = tagless
	}
	build := fmt.Sprintf("try: ebb image build ./%s --name %s", path.Base(ref.Repository), short)
	var status *transport.Error
	switch {
	case ref.Digest != "":
		e.Remedy = fmt.Sprintf("image %s is not in the local store; import the image that has this digest, or name it by its tag", short)
	case e.Unreachable:
		e.Remedy = fmt.Sprintf("image %s is not in the local store and no registry is in reach; %s", short, build)
	case errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden):
		e.Remedy = fmt.Sprintf("%s does not let us read it; give the pod an imagePullSecret for %s, or %s", ref.Domain, ref.Domain, build)
	default:
		e.Remedy = fmt.Sprintf("image %s is neither in the local store nor at %s; %s", short, ref.Domain, build)
	}
	return e
}

func isUnreachable(err error) bool {
	var netErr net.Error
	var opErr *net.OpError
	var dnsErr *net.DNSError
	return errors.As(err, &opErr) || errors.As(err, &dnsErr) || errors.As(err, &netErr) || errors.Is(err, context.DeadlineExceeded)
}
