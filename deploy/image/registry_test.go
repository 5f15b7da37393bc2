package image

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	corev1 "k8s.io/api/core/v1"
)

func get(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func TestAMirrorRequestFindsTheImageOfItsNamespace(t *testing.T) {
	s := newStore(t)
	digest := putImage(t, s, "gcr.io/knative-samples/helloworld-go", layerOf(member{name: "f", body: "x"}))
	short := putImage(t, s, "shop:v4", layerOf(member{name: "g", body: "y"}))
	server := httptest.NewServer(NewRegistry(s))
	defer server.Close()
	for _, c := range []struct{ path, digest string }{
		{"/v2/knative-samples/helloworld-go/manifests/latest?ns=gcr.io", digest.String()},
		{"/v2/knative-samples/helloworld-go/manifests/" + digest.String() + "?ns=gcr.io", digest.String()},
		{"/v2/library/shop/manifests/v4?ns=docker.io", short.String()},
		{"/v2/shop/manifests/v4", short.String()},
		{"/v2/gcr.io/knative-samples/helloworld-go/manifests/latest", digest.String()},
	} {
		status, header, body := get(t, server.URL+c.path)
		if status != http.StatusOK || header.Get("Docker-Content-Digest") != c.digest || body == "" {
			t.Errorf("%s: %d %v", c.path, status, header)
		}
	}
	for _, path := range []string{"/v2/knative-samples/helloworld-go/manifests/latest?ns=quay.io", "/v2/nothing/manifests/v1", "/v2/shop/blobs/" + someDigest, "/v2/%2e%2e/x/manifests/y"} {
		if status, _, body := get(t, server.URL+path); status != http.StatusNotFound || !strings.Contains(body, `"errors"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if _, _, body := get(t, server.URL+"/v2/shop/tags/list"); body != `{"name":"shop","tags":["v4"]}`+"\n" {
		t.Errorf("tags: %s", body)
	}
	if _, _, body := get(t, server.URL+"/v2/_catalog"); body != `{"repositories":["shop","gcr.io/knative-samples/helloworld-go"]}`+"\n" {
		t.Errorf("catalog: %s", body)
	}
}

func TestPushedImagesArePulledUnchanged(t *testing.T) {
	s := newStore(t)
	server := httptest.NewServer(NewRegistry(s))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	img, err := random.Image(4096, 3)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/team/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	back, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(back); err != nil {
		t.Fatal(err)
	}
	want, _ := img.Digest()
	if got, err := s.Lookup(mustRef(t, "team/app:v1")); err != nil || got != want {
		t.Fatalf("in the store: %s, %v; want %s", got, err, want)
	}
	index, err := random.Index(512, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref.Context().Tag("multi"), index); err == nil {
		t.Log("an index of foreign platforms was accepted")
	}
}

func TestAChunkThatDoesNotFollowIsRefused(t *testing.T) {
	server := httptest.NewServer(NewRegistry(newStore(t)))
	defer server.Close()
	resp, err := http.Post(server.URL+"/v2/x/blobs/uploads/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	req, err := http.NewRequest(http.MethodPatch, server.URL+resp.Header.Get("Location"), strings.NewReader("later"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Range", "10-14")
	if resp, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("got %d", resp.StatusCode)
	}
}

// privateRegistry is a registry that asks for user "u" with password "p".
func privateRegistry(t *testing.T, s *Store) *httptest.Server {
	t.Helper()
	registry := NewRegistry(s)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p" {
			w.Header().Set("Www-Authenticate", `Basic realm="private"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			return
		}
		registry.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

func pullSecret(host string) *corev1.Secret {
	s := &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{
		corev1.DockerConfigJsonKey: []byte(`{"auths":{"` + host + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("u:p")) + `"}}}`),
	}}
	s.Namespace, s.Name = "default", "regcred"
	return s
}

func TestAPrivateImageIsResolvedAndPulledWithItsSecret(t *testing.T) {
	upstream := newStore(t)
	want := putImage(t, upstream, "app", layerOf(member{name: "f", body: "x"}))
	server := privateRegistry(t, upstream)
	host := strings.TrimPrefix(server.URL, "http://")
	r := &Resolver{Store: newStore(t)}
	_, err := r.Resolve(context.Background(), host+"/app", nil)
	var e *Error
	if !errors.As(err, &e) || e.Unreachable || !strings.Contains(err.Error(), `Unable to fetch image "`+host+`/app": failed to resolve image to digest: `) || !strings.Contains(err.Error(), "imagePullSecret") {
		t.Fatalf("without the secret: %v", err)
	}
	keychain, err := NewKeychain(pullSecret(host))
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Resolve(context.Background(), host+"/app", keychain)
	if err != nil || got.Digest != want || got.Local || got.Pinned() != host+"/app@"+want.String() {
		t.Fatalf("resolve: %+v, %v", got, err)
	}
	if got, err = r.Pull(context.Background(), host+"/app", keychain, false); err != nil || got.Config == nil {
		t.Fatalf("pull: %+v, %v", got, err)
	}
	server.Close()
	if got, err = r.Resolve(context.Background(), host+"/app", nil); err != nil || !got.Local || got.Digest != want {
		t.Fatalf("from the store: %+v, %v", got, err)
	}
	if got, err = r.Pull(context.Background(), got.Pinned(), nil, true); err != nil || !got.Local {
		t.Fatalf("by digest: %+v, %v", got, err)
	}
}

func TestWithoutARegistryTheErrorSaysWhatToDo(t *testing.T) {
	r := &Resolver{Store: newStore(t), Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("network is unreachable")}
	}}}
	_, err := r.Resolve(context.Background(), "shop:v4", nil)
	var e *Error
	if !errors.As(err, &e) || !e.Unreachable {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		`Unable to fetch image "shop:v4": failed to resolve image to digest: `,
		"image shop:v4 is not in the local store and no registry is in reach; try: ebb image build ./shop --name shop:v4",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

func TestARegistryThatHangsIsGivenUp(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(release)
	r := &Resolver{Store: newStore(t), Timeout: 50 * time.Millisecond}
	_, err := r.Resolve(context.Background(), strings.TrimPrefix(server.URL, "http://")+"/x:y", nil)
	var e *Error
	if !errors.As(err, &e) || !e.Unreachable {
		t.Fatalf("got %v", err)
	}
}

func TestTheMostSpecificCredentialWins(t *testing.T) {
	secret := func(config string) *corev1.Secret {
		return &corev1.Secret{Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(config)}}
	}
	k, err := NewKeychain(secret(`{"auths":{
		"https://index.docker.io/v1/": {"username":"hub","password":"p"},
		"*.azurecr.io": {"username":"azure","password":"p"},
		"reg.example.com": {"username":"host","password":"p"},
		"reg.example.com/team": {"username":"team","password":"p"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{
		"shop:v4": "hub", "a.azurecr.io/x": "azure", "a.b.azurecr.io/x": "", "reg.example.com/other/x": "host",
		"reg.example.com/team/x": "team", "reg.example.com/teams/x": "host", "gcr.io/x/y": "",
	} {
		ref, err := name.ParseReference(image)
		if err != nil {
			t.Fatal(err)
		}
		auth, err := k.Resolve(ref.Context())
		if err != nil {
			t.Fatal(err)
		}
		if config, _ := auth.Authorization(); config.Username != want {
			t.Errorf("%s: user %q, want %q", image, config.Username, want)
		}
	}
	for _, bad := range []*corev1.Secret{{}, secret("{"), secret(`{"auths":{"x":{"auth":"%%"}}}`), secret(`{"auths":{"x":{"auth":"bm9jb2xvbg=="}}}`)} {
		if _, err := NewKeychain(bad); err == nil {
			t.Errorf("accepted %s", bad.Data)
		}
	}
}
