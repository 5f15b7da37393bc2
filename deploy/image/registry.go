package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"
)

// Registry serves a store over the OCI distribution protocol: pull by tag and digest, push, list. It serves every registry's names: a
// containerd mirror says with ?ns=gcr.io whose image it asks for; without ns the path is read as a user's name is (MirrorRef).
//
// It asks nobody who they are: listen on loopback or on the pods' bridge only.
type Registry struct {
	store *Store
	now   func() time.Time

	uploads uploads
}

// NewRegistry makes a handler over the store.
func NewRegistry(s *Store) *Registry {
	return &Registry{store: s, now: time.Now, uploads: uploads{open: map[string]*upload{}}}
}

var registryPath = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs|tags|referrers)/(.*)$`)

// ServeHTTP answers registry requests.
func (g *Registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if err := g.route(w, r); err != nil {
		writeRegistryError(w, r, err)
	}
}

func (g *Registry) route(w http.ResponseWriter, r *http.Request) error {
	switch r.URL.Path {
	case "/v2", "/v2/":
		return writeJSON(w, struct{}{})
	case "/v2/_catalog":
		return g.catalog(w)
	}
	m := registryPath.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return &registryError{http.StatusNotFound, "NAME_UNKNOWN", "no such path"}
	}
	repository, what, rest := m[1], m[2], m[3]
	ns := r.URL.Query().Get("ns")
	switch what {
	case "tags":
		return g.tags(w, ns, repository)
	case "referrers":
		return writeJSON(w, ociv1.IndexManifest{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json", Manifests: []ociv1.Descriptor{}})
	case "manifests":
		ref, err := MirrorRef(ns, repository, rest)
		if err != nil {
			return &registryError{http.StatusNotFound, "NAME_INVALID", err.Error()}
		}
		return g.manifest(w, r, ref)
	}
	if id, ok := strings.CutPrefix(rest, "uploads/"); ok || rest == "uploads" {
		return g.upload(w, r, repository, id)
	}
	return g.blob(w, r, rest)
}

func (g *Registry) manifest(w http.ResponseWriter, r *http.Request, ref Ref) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		digest, err := g.store.Lookup(ref)
		if err != nil {
			return notFound("MANIFEST_UNKNOWN", err)
		}
		m, err := g.store.readManifest(digest)
		if err != nil {
			return notFound("MANIFEST_UNKNOWN", err)
		}
		h := w.Header()
		h.Set("Content-Type", string(m.mediaType))
		h.Set("Content-Length", strconv.FormatInt(m.size, 10))
		h.Set("Docker-Content-Digest", digest.String())
		h.Set("Etag", `"`+digest.String()+`"`)
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodGet {
			_, _ = w.Write(m.content) // the client is gone; there is nobody to tell
		}
		return nil
	case http.MethodPut:
		return g.putManifest(w, r, ref)
	case http.MethodDelete:
		if err := g.store.Remove(ref); err != nil {
			return notFound("MANIFEST_UNKNOWN", err)
		}
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	return &registryError{http.StatusMethodNotAllowed, "UNSUPPORTED", r.Method + " is not for manifests"}
}

func (g *Registry) putManifest(w http.ResponseWriter, r *http.Request, ref Ref) error {
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
	if err != nil {
		return &registryError{http.StatusRequestEntityTooLarge, "SIZE_INVALID", err.Error()}
	}
	m, err := parseManifest(content)
	if err != nil {
		return &registryError{http.StatusBadRequest, "MANIFEST_INVALID", err.Error()}
	}
	if !m.isIndex() {
		if err := g.store.complete(m); err != nil {
			return &registryError{http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", err.Error()}
		}
	}
	d, err := g.store.putBytes(content)
	if err != nil {
		return err
	}
	if ref.Digest != "" && ref.Digest != d.Digest.String() {
		return &registryError{http.StatusBadRequest, "DIGEST_INVALID", "the manifest has the digest " + d.Digest.String()}
	}
	if ref.Tag != "" {
		if err := g.store.Tag(ref, d.Digest); err != nil {
			return &registryError{http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", err.Error()}
		}
	}
	w.Header().Set("Docker-Content-Digest", d.Digest.String())
	w.Header().Set("Location", r.URL.Path)
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (g *Registry) blob(w http.ResponseWriter, r *http.Request, reference string) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return &registryError{http.StatusMethodNotAllowed, "UNSUPPORTED", r.Method + " is not for blobs"}
	}
	digest, err := ociv1.NewHash(reference)
	if err != nil {
		return &registryError{http.StatusBadRequest, "DIGEST_INVALID", err.Error()}
	}
	f, err := g.store.openBlob(digest)
	if err != nil {
		return notFound("BLOB_UNKNOWN", err)
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", digest.String())
	w.Header().Set("Etag", `"`+digest.String()+`"`)
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

func (g *Registry) tags(w http.ResponseWriter, ns, repository string) error {
	of, err := MirrorRef(ns, repository, defaultTag)
	if err != nil {
		return &registryError{http.StatusNotFound, "NAME_INVALID", err.Error()}
	}
	entries, err := g.store.List()
	if err != nil {
		return err
	}
	list := struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{Name: repository, Tags: []string{}}
	for _, e := range entries {
		if e.Ref.Name() == of.Name() {
			list.Tags = append(list.Tags, e.Ref.Tag)
		}
	}
	if len(list.Tags) == 0 {
		return &registryError{http.StatusNotFound, "NAME_UNKNOWN", of.Name() + " is not in the local image store"}
	}
	return writeJSON(w, list)
}

func (g *Registry) catalog(w http.ResponseWriter) error {
	entries, err := g.store.List()
	if err != nil {
		return err
	}
	list := struct {
		Repositories []string `json:"repositories"`
	}{Repositories: []string{}}
	for _, e := range entries {
		list.Repositories = append(list.Repositories, strings.TrimSuffix(e.Ref.WithTag("").Familiar(), ":"))
	}
	list.Repositories = slices.Compact(list.Repositories)
	return writeJSON(w, list)
}

// registryError is an error in the protocol's own form.
type registryError struct {
	status  int
	code    string
	message string
}

func (e *registryError) Error() string { return e.message }

func notFound(code string, err error) error {
	if errors.Is(err, ErrNotFound) {
		return &registryError{http.StatusNotFound, code, err.Error()}
	}
	return err
}

func writeRegistryError(w http.ResponseWriter, r *http.Request, err error) {
	var e *registryError
	if !errors.As(err, &e) {
		e = &registryError{http.StatusInternalServerError, "UNKNOWN", err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%s}]}`, e.code, quoteJSON(e.message))
	}
}

func quoteJSON(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}
