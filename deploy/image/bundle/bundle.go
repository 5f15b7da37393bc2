package bundle

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Program is one program of the bundle.
type Program struct {
	// Source is its file on this machine, Target its absolute path in the bundle.
	Source, Target string
}

// certificates are where distributions keep the roots of public authorities; the first that exists is taken along.
var certificates = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

// Gather fills dir, which is there and empty.
func Gather(dir string, programs []Program) error {
	g := gatherer{dir: dir, have: map[string]bool{}}
	for _, p := range programs {
		if err := g.program(p); err != nil {
			return fmt.Errorf("bundle %s: %w", p.Source, err)
		}
	}
	return g.surroundings()
}

type gatherer struct {
	dir string
	// have are the files of this machine that lie in the bundle at the same place.
	have map[string]bool
}

func (g gatherer) program(p Program) error {
	if err := g.copy(p.Source, p.Target, 0o755); err != nil {
		return err
	}
	return g.needs(p.Source)
}

// needs takes along what a program or library needs to be loaded. Each lies where it lies on this machine: its loader looks there.
func (g gatherer) needs(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("%s is not a Linux program: %w", file, err)
	}
	defer f.Close()
	loader, err := interpreter(f)
	if err != nil {
		return err
	}
	if loader != "" {
		if err := g.library(loader); err != nil {
			return err
		}
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, name := range names {
		path, err := find(name, f.Machine, file)
		if err != nil {
			return err
		}
		if err := g.library(path); err != nil {
			return err
		}
	}
	return nil
}

func (g gatherer) library(path string) error {
	if g.have[path] {
		return nil
	}
	g.have[path] = true
	if err := g.copy(path, path, 0o755); err != nil {
		return err
	}
	return g.needs(path)
}

// interpreter is the loader that a program names; libraries and static programs name none.
func interpreter(f *elf.File) (string, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err != nil {
			return "", fmt.Errorf("read its loader's name: %w", err)
		}
		return strings.TrimRight(string(data), "\x00"), nil
	}
	return "", nil
}

// triplets are the architectures' folders in distributions that have one for each.
var triplets = map[elf.Machine]string{elf.EM_X86_64: "x86_64-linux-gnu", elf.EM_AARCH64: "aarch64-linux-gnu"}

// find looks a library up where loaders do by default.
func find(name string, machine elf.Machine, wantedBy string) (string, error) {
	var folders []string
	if triplet := triplets[machine]; triplet != "" {
		folders = append(folders, "/lib/"+triplet, "/usr/lib/"+triplet)
	}
	for _, folder := range append(folders, "/lib64", "/usr/lib64", "/lib", "/usr/lib") {
		path := filepath.Join(folder, name)
		f, err := elf.Open(path)
		if err != nil {
			continue
		}
		fits := f.Machine == machine
		f.Close()
		if fits {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s needs the library %s, which is not in any of the loader's folders; install it", wantedBy, name)
}

// surroundings are the few files that programs expect of any system.
func (g gatherer) surroundings() error {
	for file, content := range map[string]string{
		"/etc/passwd": "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
		"/etc/group":  "root:x:0:\nnonroot:x:65532:\n",
	} {
		if err := g.write(file, content); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(g.dir, "tmp"), 0o755); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(g.dir, "tmp"), 0o777|os.ModeSticky); err != nil {
		return err
	}
	at := slices.IndexFunc(certificates, func(path string) bool { _, err := os.Stat(path); return err == nil })
	if at < 0 {
		return nil
	}
	return g.copy(certificates[at], certificates[0], 0o644)
}

func (g gatherer) write(target, content string) error {
	path := filepath.Join(g.dir, target)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}

// copy links where it can: programs are large, and the bundle is read once.
func (g gatherer) copy(source, target string, mode os.FileMode) error {
	if !filepath.IsAbs(target) {
		return fmt.Errorf("%q is no absolute path", target)
	}
	real, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	path := filepath.Join(g.dir, target)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	in, err := os.Open(real)
	if err != nil {
		return err
	}
	defer in.Close()
	if info, err := in.Stat(); err == nil && info.Mode().Perm() == mode && os.Link(real, path) == nil {
		return nil
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("two files of the bundle are called %s", target)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return cmp.Or(err, out.Close())
}
