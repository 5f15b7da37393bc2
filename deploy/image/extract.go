package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
	xattrRecord    = "SCHILY.xattr."
	maxSymlinks    = 40 // as the kernel
)

// extractor applies image layers to a directory. Names are resolved inside it, as if it were /: a link that points up or is absolute leads
// to its place in the tree, and no name, link or hard link reaches outside. Every operation goes through os.Root, which holds that
// even where the resolving here should err.
type extractor struct {
	root  *os.Root
	owner bool // files get the owners that the layer says

	dirs []*tar.Header // directories' modes and times are set last, when nothing is written into them any more
}

func newExtractor(dir string) (*extractor, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &extractor{root: root, owner: os.Geteuid() == 0}, nil
}

func (x *extractor) close() { x.root.Close() }

// apply adds one layer, an uncompressed tar.
func (x *extractor) apply(ctx context.Context, layer io.Reader) error {
	members := tar.NewReader(layer)
	// Whiteouts concern the layers below only, wherever in this layer they stand.
	added := map[string]bool{}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := members.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := x.applyMember(h, members, added); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
}

func (x *extractor) applyMember(h *tar.Header, content io.Reader, added map[string]bool) error {
	name, err := memberName(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		h.Name = name
		x.dirs = append(x.dirs, h)
		return nil
	}
	parent, err := x.resolveDir(path.Dir(name))
	if err != nil {
		return err
	}
	base := path.Base(name)
	switch {
	case base == whiteoutOpaque:
		return x.clear(parent, added)
	case strings.HasPrefix(base, whiteoutPrefix):
		hidden := strings.TrimPrefix(base, whiteoutPrefix)
		if hidden == "" || hidden == "." || hidden == ".." {
			return errors.New("whiteout that names no file, refused")
		}
		if added[path.Join(parent, hidden)] {
			return nil
		}
		return x.remove(path.Join(parent, hidden))
	}
	target := path.Join(parent, base)
	for p := target; p != "."; p = path.Dir(p) {
		added[p] = true
	}
	return x.create(h, target, content)
}

// memberName cleans a member's name. Names that climb are refused, not mended: no image tool writes them.
func memberName(name string) (string, error) {
	if slices.Contains(strings.Split(name, "/"), "..") {
		return "", errors.New("path leaves the image, refused")
	}
	if strings.ContainsRune(name, 0) {
		return "", errors.New("path with a NUL byte refused")
	}
	return path.Clean(strings.TrimPrefix(path.Clean("/"+name), "/")), nil
}

// resolveDir returns the place of directory dir with all links followed inside the tree, and makes what is missing.
func (x *extractor) resolveDir(dir string) (string, error) {
	rest := strings.Split(dir, "/")
	at, links := ".", 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		info, err := x.root.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := x.root.Mkdir(next, 0o755); err != nil {
				return "", err
			}
			at = next
		case err != nil:
			return "", err
		case info.Mode()&fs.ModeSymlink != 0:
			if links++; links > maxSymlinks {
				return "", errors.New("too many symbolic links")
			}
			to, err := x.root.Readlink(next)
			if err != nil {
				return "", err
			}
			if path.IsAbs(to) {
				at = "."
			}
			rest = append(strings.Split(to, "/"), rest...)
		case info.IsDir():
			at = next
		default:
			return "", fmt.Errorf("%s is not a directory", next)
		}
	}
	return at, nil
}

func (x *extractor) create(h *tar.Header, target string, content io.Reader) error {
	old, err := x.root.Lstat(target)
	if err == nil && !(old.IsDir() && h.Typeflag == tar.TypeDir) {
		if err := x.remove(target); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := x.root.Mkdir(target, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		h.Name = target
		x.dirs = append(x.dirs, h)
		return nil
	case tar.TypeReg:
		if err := writeFile(x.root, target, content); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := x.root.Symlink(h.Linkname, target); err != nil {
			return err
		}
	case tar.TypeLink:
		return x.link(h.Linkname, target)
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		return x.special(h, target)
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("member type %q is not known", h.Typeflag)
	}
	return x.setMeta(h, target)
}

func (x *extractor) link(to, target string) error {
	name, err := memberName(to)
	if err != nil {
		return err
	}
	dir, err := x.resolveDir(path.Dir(name))
	if err != nil {
		return err
	}
	return x.root.Link(path.Join(dir, path.Base(name)), target)
}

// special makes a pipe or device. Devices need rights that a user has not, and containers get their own /dev: without the rights they are left out.
func (x *extractor) special(h *tar.Header, target string) error {
	dir, err := x.root.Open(path.Dir(target))
	if err != nil {
		return err
	}
	defer dir.Close()
	mode := uint32(h.Mode) & 0o777
	device := 0
	switch h.Typeflag {
	case tar.TypeFifo:
		mode |= unix.S_IFIFO
	case tar.TypeChar:
		mode |= unix.S_IFCHR
		device = int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))
	case tar.TypeBlock:
		mode |= unix.S_IFBLK
		device = int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))
	}
	err = unix.Mknodat(int(dir.Fd()), path.Base(target), mode, device)
	if h.Typeflag != tar.TypeFifo && errors.Is(err, unix.EPERM) {
		return nil
	}
	if err != nil {
		return err
	}
	return x.setMeta(h, target)
}

// setMeta gives a file the owner, mode, attributes and time of its member. The mode comes after the owner: a change of owner clears set-user-id bits.
func (x *extractor) setMeta(h *tar.Header, target string) error {
	if x.owner {
		// In a user namespace only some owners exist; the others' files stay ours, as with every rootless tool.
		if err := x.root.Lchown(target, h.Uid, h.Gid); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	if err := x.root.Chmod(target, h.FileInfo().Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	if err := x.setXattrs(h, target); err != nil {
		return err
	}
	when := h.ModTime
	if when.Before(time.Unix(0, 0)) {
		when = time.Unix(0, 0)
	}
	return x.root.Chtimes(target, when, when)
}

func (x *extractor) setXattrs(h *tar.Header, target string) error {
	for record, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(record, xattrRecord)
		if !ok || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
			continue
		}
		f, err := x.root.Open(target)
		if err != nil {
			return err
		}
		err = unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

func (x *extractor) remove(target string) error {
	info, err := x.root.Lstat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		x.dirs = slices.DeleteFunc(x.dirs, func(h *tar.Header) bool {
			return h.Name == target || strings.HasPrefix(h.Name, target+"/")
		})
	}
	return x.root.RemoveAll(target)
}

// clear empties dir of what the layers below put there, and keeps what this layer did.
func (x *extractor) clear(dir string, added map[string]bool) error {
	d, err := x.root.Open(dir)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	d.Close()
	if err != nil {
		return err
	}
	for _, name := range names {
		child := path.Join(dir, name)
		if !added[child] {
			err = x.remove(child)
		} else if info, statErr := x.root.Lstat(child); statErr == nil && info.IsDir() {
			err = x.clear(child, added)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finish sets the directories' modes and times, children before parents, so that a directory without write permission can still be filled.
func (x *extractor) finish() error {
	slices.SortStableFunc(x.dirs, func(a, b *tar.Header) int { return strings.Compare(b.Name, a.Name) })
	for _, h := range x.dirs {
		if err := x.setMeta(h, h.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	return nil
}
