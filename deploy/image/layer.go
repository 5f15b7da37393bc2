package image

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
)

// layerFile is one member of a layer that a build makes.
type layerFile struct {
	name    string // relative, slash-separated
	mode    fs.FileMode
	content []byte // of a regular file without source
	source  string // path of a regular file's content
	link    string // target of a symbolic link
	uid     int
	gid     int
	xattrs  map[string]string
}

// putLayer writes members as one uncompressed layer. Equal members give equal bytes: times are epoch and the order is the caller's.
func (s *Store) putLayer(ctx context.Context, epoch time.Time, members func(yield func(layerFile) error) error) (ociv1.Descriptor, ociv1.Hash, error) {
	blob, err := s.newBlob()
	if err != nil {
		return ociv1.Descriptor{}, ociv1.Hash{}, err
	}
	w := tar.NewWriter(blob)
	err = members(func(f layerFile) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := writeMember(w, f, epoch); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		return nil
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		blob.abort()
		return ociv1.Descriptor{}, ociv1.Hash{}, err
	}
	d, err := blob.commit(ociv1.Hash{})
	d.MediaType = types.OCIUncompressedLayer
	return d, d.Digest, err // uncompressed: the blob's hash is the diff id
}

func writeMember(w *tar.Writer, f layerFile, epoch time.Time) error {
	h := &tar.Header{
		Name:    f.name,
		Mode:    unixMode(f.mode),
		ModTime: epoch,
		Uid:     f.uid,
		Gid:     f.gid,
		Format:  tar.FormatPAX,
	}
	for name, value := range f.xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrRecord+name] = value
	}
	switch {
	case f.mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, f.name+"/"
		return w.WriteHeader(h)
	case f.mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		return w.WriteHeader(h)
	case !f.mode.IsRegular():
		return fmt.Errorf("a %s has no place in an image", f.mode.Type())
	}
	h.Typeflag = tar.TypeReg
	if f.source == "" {
		h.Size = int64(len(f.content))
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := w.Write(f.content)
		return err
	}
	in, err := os.Open(f.source)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	h.Size = info.Size()
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(w, in, h.Size)
	return err
}

func unixMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	if m&fs.ModeSetuid != 0 {
		mode |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		mode |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	return mode
}

// treeMembers walks a root file system in the order of names. Owners are kept when root builds, and are root's otherwise: an ordinary
// user's own number means nothing inside an image.
func treeMembers(dir string) func(func(layerFile) error) error {
	return func(yield func(layerFile) error) error {
		return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || p == dir {
				return err
			}
			rel, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			f := layerFile{name: filepath.ToSlash(rel), mode: info.Mode(), source: p}
			if sys, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
				f.uid, f.gid = int(sys.Uid), int(sys.Gid)
			}
			switch {
			case info.Mode()&fs.ModeSymlink != 0:
				f.link, err = os.Readlink(p)
			case info.Mode()&(fs.ModeSocket|fs.ModeNamedPipe|fs.ModeDevice) != 0:
				return nil // what a process left behind, not the program
			case info.Mode().IsRegular():
				f.xattrs = capabilityOf(p)
			}
			if err != nil {
				return err
			}
			return yield(f)
		})
	}
}

// capabilityOf reads the one extended attribute that changes how a program runs.
func capabilityOf(file string) map[string]string {
	const name = "security.capability"
	buf := make([]byte, 64)
	n, err := unix.Lgetxattr(file, name, buf)
	if err != nil {
		return nil
	}
	return map[string]string{name: string(buf[:n])}
}

// programMembers is the smallest file system that ordinary programs accept: the program, users to run as, a place for temporary files.
func programMembers(program, source string, caCertificates []byte) func(func(layerFile) error) error {
	files := []layerFile{
		{name: "app", mode: fs.ModeDir | 0o755},
		{name: program, mode: 0o755, source: source},
		{name: "etc", mode: fs.ModeDir | 0o755},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{name: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")},
	}
	if len(caCertificates) > 0 {
		files = append(files,
			layerFile{name: "etc/ssl", mode: fs.ModeDir | 0o755},
			layerFile{name: "etc/ssl/certs", mode: fs.ModeDir | 0o755},
			layerFile{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: caCertificates})
	}
	files = append(files,
		layerFile{name: "home", mode: fs.ModeDir | 0o755},
		layerFile{name: "home/nonroot", mode: fs.ModeDir | 0o700, uid: nonroot, gid: nonroot},
		layerFile{name: "root", mode: fs.ModeDir | 0o700},
		layerFile{name: "tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777})
	return func(yield func(layerFile) error) error {
		for _, f := range files {
			if err := yield(f); err != nil {
				return err
			}
		}
		return nil
	}
}

// programPath is where a program's binary lies in its image.
func programPath(name string) string { return path.Join("app", strings.TrimPrefix(name, "/")) }
