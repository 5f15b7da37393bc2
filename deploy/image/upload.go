package image

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"path"
	"sync"
	"time"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	maxUploads    = 256 // at once
	uploadTimeout = time.Hour
)

// uploads are the blobs that clients are sending, in one request or several.
type uploads struct {
	mu   sync.Mutex
	open map[string]*upload
}

type upload struct {
	mu     sync.Mutex // one request at a time appends
	blob   *blobWriter
	closed bool
	seen   time.Time
}

// add registers an upload and drops those that nobody has continued for an hour.
func (u *uploads) add(blob *blobWriter, now time.Time) (string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, old := range u.open {
		if now.Sub(old.seen) > uploadTimeout && old.mu.TryLock() {
			old.closed = true
			old.blob.abort()
			old.mu.Unlock()
			delete(u.open, id)
		}
	}
	if len(u.open) >= maxUploads {
		return "", &registryError{http.StatusTooManyRequests, "TOOMANYREQUESTS", fmt.Sprintf("%d uploads are under way; try again when some have ended", maxUploads)}
	}
	id := rand.Text()
	u.open[id] = &upload{blob: blob, seen: now}
	return id, nil
}

func (u *uploads) get(id string, now time.Time) (*upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	up := u.open[id]
	if up == nil {
		return nil, &registryError{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "no such upload; begin it again"}
	}
	up.seen = now
	return up, nil
}

func (u *uploads) remove(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.open, id)
}

// upload answers the requests that bring a blob: POST begins, PATCH appends, PUT ends with the digest; POST with ?digest= does all at once.
func (g *Registry) upload(w http.ResponseWriter, r *http.Request, repository, id string) error {
	query := r.URL.Query()
	if r.Method == http.MethodPost && id == "" {
		if mount, err := ociv1.NewHash(query.Get("mount")); err == nil {
			if f, err := g.store.openBlob(mount); err == nil {
				f.Close()
				return blobCreated(w, repository, mount)
			}
		}
		return g.beginUpload(w, r, repository, query.Get("digest"))
	}
	up, err := g.uploads.get(id, g.now())
	if err != nil {
		return err
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	if up.closed {
		return &registryError{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "this upload has ended"}
	}
	switch r.Method {
	case http.MethodPatch:
		if err := up.append(r); err != nil {
			return err
		}
		uploadAccepted(w, repository, id, up.blob.size)
		return nil
	case http.MethodPut:
		return g.endUpload(w, r, repository, id, up, query.Get("digest"))
	case http.MethodDelete:
		up.closed = true
		up.blob.abort()
		g.uploads.remove(id)
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodGet:
		uploadHeaders(w, repository, id, up.blob.size)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return &registryError{http.StatusMethodNotAllowed, "UNSUPPORTED", r.Method + " is not for uploads"}
}

func (g *Registry) beginUpload(w http.ResponseWriter, r *http.Request, repository, digest string) error {
	blob, err := g.store.newBlob()
	if err != nil {
		return err
	}
	if digest == "" {
		id, err := g.uploads.add(blob, g.now())
		if err != nil {
			blob.abort()
			return err
		}
		uploadAccepted(w, repository, id, 0)
		return nil
	}
	up := &upload{blob: blob}
	if err := up.append(r); err != nil {
		blob.abort()
		return err
	}
	return up.commit(w, repository, digest)
}

func (g *Registry) endUpload(w http.ResponseWriter, r *http.Request, repository, id string, up *upload, digest string) error {
	if err := up.append(r); err != nil {
		return err
	}
	g.uploads.remove(id)
	return up.commit(w, repository, digest)
}

// append adds the request's body. A chunk that does not begin where the last one ended is refused; without a range it is appended.
func (u *upload) append(r *http.Request) error {
	if v := r.Header.Get("Content-Range"); v != "" {
		var from, to int64
		if _, err := fmt.Sscanf(v, "%d-%d", &from, &to); err != nil || from != u.blob.size {
			return &registryError{http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", fmt.Sprintf("chunk %q: %d bytes are here", v, u.blob.size)}
		}
	}
	_, err := io.Copy(u.blob, r.Body)
	return err
}

func (u *upload) commit(w http.ResponseWriter, repository, digest string) error {
	u.closed = true
	want, err := ociv1.NewHash(digest)
	if err != nil || !digestPattern.MatchString(digest) {
		u.blob.abort()
		return &registryError{http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("digest %q is not sha256: and 64 hexadecimal digits", digest)}
	}
	if _, err := u.blob.commit(want); err != nil {
		return &registryError{http.StatusBadRequest, "DIGEST_INVALID", err.Error()}
	}
	return blobCreated(w, repository, want)
}

func blobCreated(w http.ResponseWriter, repository string, digest ociv1.Hash) error {
	w.Header().Set("Location", path.Join("/v2", repository, "blobs", digest.String()))
	w.Header().Set("Docker-Content-Digest", digest.String())
	w.WriteHeader(http.StatusCreated)
	return nil
}

func uploadHeaders(w http.ResponseWriter, repository, id string, size int64) {
	w.Header().Set("Location", path.Join("/v2", repository, "blobs/uploads", id))
	w.Header().Set("Docker-Upload-Uuid", id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(size-1, 0)))
}

func uploadAccepted(w http.ResponseWriter, repository, id string, size int64) {
	uploadHeaders(w, repository, id, size)
	w.WriteHeader(http.StatusAccepted)
}
