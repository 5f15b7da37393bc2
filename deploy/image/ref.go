package image

import (
	"fmt"
	"regexp"
	"strings"
)

// DefaultDomain is the registry of names that name none, as docker and Kubernetes read them.
const DefaultDomain = "docker.io"

const defaultTag = "latest"

// Ref names an image in full: shop:v4 is {docker.io, library/shop, v4, ""}. A Ref from ParseRef has a Tag, a Digest or both.
type Ref struct {
	Domain     string // registry host with optional port: docker.io, gcr.io, localhost:5000
	Repository string // path inside the registry, never empty: library/shop
	Tag        string // latest where the user named neither tag nor digest
	Digest     string // sha256:… or empty
}

var (
	// The grammar of distribution references; the lengths are the registry protocol's.
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	domainPattern     = regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$`)
	tagPattern        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$`)
	digestPattern     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

const maxNameLength = 255

// ParseRef reads an image name as users write it and fills in what they leave out: the registry docker.io, its folder library, the tag latest.
func ParseRef(s string) (Ref, error) {
	rest, digest, hasDigest := strings.Cut(s, "@")
	if hasDigest && !digestPattern.MatchString(digest) {
		return Ref{}, fmt.Errorf("image name %q: digest %q is not sha256: and 64 hexadecimal digits", s, digest)
	}
	name, tag := rest, ""
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		name, tag = rest[:i], rest[i+1:]
		if !tagPattern.MatchString(tag) {
			return Ref{}, fmt.Errorf("image name %q: tag %q may hold letters, digits, _ . and - (at most 128)", s, tag)
		}
	}
	domain, repository := splitDomain(name)
	ref := Ref{Domain: domain, Repository: repository, Tag: tag, Digest: digest}
	if ref.Tag == "" && ref.Digest == "" {
		ref.Tag = defaultTag
	}
	return ref, ref.check(s)
}

// MirrorRef reads a request to a registry mirror: repository and reference (tag or digest) from the path, ns from the query. A mirror is asked
// for every registry's images; ns says whose. Without ns the path alone is read as a user's name would be.
func MirrorRef(ns, repository, reference string) (Ref, error) {
	ref := Ref{Domain: ns, Repository: repository}
	if ns == "" {
		ref.Domain, ref.Repository = splitDomain(repository)
	} else if isDockerHub(ns) {
		ref.Domain, ref.Repository = DefaultDomain, withLibrary(repository)
	} else if domain, _ := splitDomain(ns + "/" + repository); domain != ns {
		return Ref{}, fmt.Errorf("image name %q: %q is no registry host", repository, ns)
	}
	switch {
	case reference == "":
		return Ref{}, fmt.Errorf("image name %q: neither tag nor digest", repository)
	case strings.Contains(reference, ":"):
		ref.Digest = reference
	default:
		ref.Tag = reference
	}
	return ref, ref.check(repository + ":" + reference)
}

// splitDomain separates the registry from the path: the first part is a host only if it looks like one (a dot, a port, or localhost).
func splitDomain(name string) (domain, repository string) {
	first, rest, found := strings.Cut(name, "/")
	if !found || !strings.ContainsAny(first, ".:") && first != "localhost" && strings.ToLower(first) == first {
		return DefaultDomain, withLibrary(name)
	}
	if isDockerHub(first) {
		return DefaultDomain, withLibrary(rest)
	}
	return first, rest
}

func isDockerHub(host string) bool {
	return host == DefaultDomain || host == "index.docker.io" || host == "registry-1.docker.io"
}

func withLibrary(repository string) string {
	if strings.Contains(repository, "/") {
		return repository
	}
	return "library/" + repository
}

func (r Ref) check(written string) error {
	switch {
	case !domainPattern.MatchString(r.Domain):
		return fmt.Errorf("image name %q: %q is no registry host", written, r.Domain)
	case !repositoryPattern.MatchString(r.Repository):
		return fmt.Errorf("image name %q: repository %q may hold lower-case letters, digits, and single . _ - or / between them", written, r.Repository)
	case len(r.Domain)+1+len(r.Repository) > maxNameLength:
		return fmt.Errorf("image name %q: longer than %d characters", written, maxNameLength)
	case r.Tag != "" && !tagPattern.MatchString(r.Tag):
		return fmt.Errorf("image name %q: tag %q may hold letters, digits, _ . and - (at most 128)", written, r.Tag)
	case r.Digest != "" && !digestPattern.MatchString(r.Digest):
		return fmt.Errorf("image name %q: digest %q is not sha256: and 64 hexadecimal digits", written, r.Digest)
	}
	return nil
}

// Name is the repository with its registry: docker.io/library/shop.
func (r Ref) Name() string { return r.Domain + "/" + r.Repository }

// String is the name in full: docker.io/library/shop:v4.
func (r Ref) String() string { return r.Name() + r.suffix() }

// Familiar is the name as users write it: shop:v4.
func (r Ref) Familiar() string {
	name := r.Name()
	if r.Domain == DefaultDomain {
		name = strings.TrimPrefix(r.Repository, "library/")
		if domain, _ := splitDomain(name); domain != DefaultDomain {
			name = r.Repository
		}
	}
	return name + r.suffix()
}

func (r Ref) suffix() string {
	s := ""
	if r.Tag != "" {
		s = ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// WithTag is the same repository under a tag alone.
func (r Ref) WithTag(tag string) Ref {
	return Ref{Domain: r.Domain, Repository: r.Repository, Tag: tag}
}
