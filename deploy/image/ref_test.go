package image

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

const someDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestNamesAreReadAsDockerAndKubernetesReadThem(t *testing.T) {
	for _, c := range []struct{ in, full, familiar string }{
		{"shop:v4", "docker.io/library/shop:v4", "shop:v4"},
		{"my-app-image", "docker.io/library/my-app-image:latest", "my-app-image:latest"},
		{"williamyeh/hey", "docker.io/williamyeh/hey:latest", "williamyeh/hey:latest"},
		{"docker.io/shop", "docker.io/library/shop:latest", "shop:latest"},
		{"index.docker.io/library/shop:1", "docker.io/library/shop:1", "shop:1"},
		{"gcr.io/knative-samples/helloworld-go", "gcr.io/knative-samples/helloworld-go:latest", "gcr.io/knative-samples/helloworld-go:latest"},
		{"gcr.io/distroless/nodejs:14", "gcr.io/distroless/nodejs:14", "gcr.io/distroless/nodejs:14"},
		{"localhost/x", "localhost/x:latest", "localhost/x:latest"},
		{"localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"},
		{"[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"},
		{"your-private-registry.com/app:latest", "your-private-registry.com/app:latest", "your-private-registry.com/app:latest"},
		{"shop@" + someDigest, "docker.io/library/shop@" + someDigest, "shop@" + someDigest},
		{"shop:v4@" + someDigest, "docker.io/library/shop:v4@" + someDigest, "shop:v4@" + someDigest},
	} {
		ref, err := ParseRef(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if ref.String() != c.full || ref.Familiar() != c.familiar {
			t.Errorf("%s: got %s and %s, want %s and %s", c.in, ref, ref.Familiar(), c.full, c.familiar)
		}
	}
}

func TestNamesThatNoRegistryAcceptsAreRefused(t *testing.T) {
	for _, in := range []string{"", ":v1", "case/UPPER", "a//b", "a:b:c", "a@sha256:short", "a:", "../etc", "a/../b", "gcr.io/", "-x/y", "a b", "a:" + someDigest} {
		if ref, err := ParseRef(in); err == nil {
			t.Errorf("%q was read as %s", in, ref)
		}
	}
}

func TestMirrorsAreAskedByNamespace(t *testing.T) {
	for _, c := range []struct{ ns, repository, reference, want string }{
		{"gcr.io", "knative-samples/helloworld-go", "latest", "gcr.io/knative-samples/helloworld-go:latest"},
		{"docker.io", "library/my-app-image", "latest", "docker.io/library/my-app-image:latest"},
		{"registry-1.docker.io", "shop", "v4", "docker.io/library/shop:v4"},
		{"", "shop", "v4", "docker.io/library/shop:v4"},
		{"", "gcr.io/a/b", "v1", "gcr.io/a/b:v1"},
		{"localhost:5000", "x", someDigest, "localhost:5000/x@" + someDigest},
	} {
		ref, err := MirrorRef(c.ns, c.repository, c.reference)
		if err != nil || ref.String() != c.want {
			t.Errorf("%+v: got %s, %v", c, ref, err)
		}
	}
	for _, c := range [][3]string{{"a/b", "x", "y"}, {"gcr.io", "", "y"}, {"gcr.io", "x", "sha256:../../x"}, {"gcr.io", "../x", "y"}} {
		if ref, err := MirrorRef(c[0], c[1], c[2]); err == nil {
			t.Errorf("%v was read as %s", c, ref)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"shop:v4", "gcr.io/a/b@" + someDigest, "localhost:5000/x", "a__b/c-d.e", "[::1]:1/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseRef(s)
		if err != nil {
			return
		}
		again, err := ParseRef(ref.String())
		if err != nil || again != ref {
			t.Fatalf("%q: %s read again is %s, %v", s, ref, again, err)
		}
		short, err := ParseRef(ref.Familiar())
		if err != nil || short != ref {
			t.Fatalf("%q: familiar %s read again is %s, %v", s, ref.Familiar(), short, err)
		}
	})
}

func FuzzMirrorRef(f *testing.F) {
	f.Add("gcr.io", "knative-samples/helloworld-go", "latest")
	f.Add("", "library/x", someDigest)
	f.Fuzz(func(t *testing.T, ns, repository, reference string) {
		ref, err := MirrorRef(ns, repository, reference)
		if err != nil {
			return
		}
		if again, err := ParseRef(ref.String()); err != nil || again != ref {
			t.Fatalf("%q %q %q: %s read again is %s, %v", ns, repository, reference, ref, again, err)
		}
		if _, err := name.ParseReference(ref.String(), name.WithDefaultTag("latest")); err != nil && len(ref.Repository) > 1 {
			t.Logf("stricter elsewhere: %s: %v", ref, err)
		}
	})
}
