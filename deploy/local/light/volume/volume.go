// Package volume lays out a pod's volumes as directories and keeps those that come from the API up to date.
//
// In: the pod's volumes and a Source of ConfigMaps, Secrets and tokens. Out: a directory a volume; for hostPath, the host's own.
//
// Hard rule: a program sees all keys of a volume change at once. The files lie in a directory of their own that a link, ..data, points at; a new
// version is written beside it and the link replaced by rename, as the kubelet does it.
package volume

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"ebb.dev/ebb/deploy/local/light/podenv"
)

// Source has what volumes are filled from.
type Source interface {
	podenv.Source
	// Token returns a service account token for the pod.
	Token(pod *corev1.Pod, t *corev1.ServiceAccountTokenProjection) (string, error)
}

const dataLink = "..data"

// file is one file of a projected volume.
type file struct {
	content []byte
	mode    os.FileMode
}

// Prepare makes the volume's directory under dir and fills it. The result is where it lies; tmpfs is above zero (or -1 without limit) for an
// emptyDir in memory, which is mounted and not laid out.
func Prepare(dir string, pod *corev1.Pod, v *corev1.Volume, src Source, f podenv.Facts, group *int64) (path string, err error) {
	path = filepath.Join(dir, v.Name)
	switch {
	case v.HostPath != nil:
		return v.HostPath.Path, prepareHostPath(v.HostPath)
	case v.EmptyDir != nil:
		return path, emptyDir(path, group)
	case v.ConfigMap != nil, v.Secret != nil, v.Projected != nil, v.DownwardAPI != nil:
		return path, Update(dir, pod, v, src, f)
	}
	return "", fmt.Errorf("volume %q: its kind is not one that this node knows; it has configMap, secret, projected, downwardAPI, emptyDir and hostPath", v.Name)
}

func emptyDir(path string, group *int64) error {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	mode := os.FileMode(0o777)
	if group != nil && os.Geteuid() == 0 {
		if err := os.Chown(path, -1, int(*group)); err != nil && !errors.Is(err, os.ErrInvalid) {
			return err
		}
		mode |= os.ModeSetgid
	}
	return os.Chmod(path, mode)
}

func prepareHostPath(h *corev1.HostPathVolumeSource) error {
	kind := corev1.HostPathUnset
	if h.Type != nil {
		kind = *h.Type
	}
	switch kind {
	case corev1.HostPathDirectoryOrCreate:
		return os.MkdirAll(h.Path, 0o755)
	case corev1.HostPathFileOrCreate:
		f, err := os.OpenFile(h.Path, os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	}
	if _, err := os.Stat(h.Path); err != nil {
		return fmt.Errorf("hostPath type check failed: %s does not exist", h.Path)
	}
	return nil
}

// Update brings the files of a volume that comes from the API up to date; nothing is touched if they are.
func Update(dir string, pod *corev1.Pod, v *corev1.Volume, src Source, f podenv.Facts) error {
	files, err := collect(pod, v, src, f)
	if err != nil {
		return err
	}
	return publish(filepath.Join(dir, v.Name), files)
}

// FromAPI reports whether a volume follows API objects.
func FromAPI(v *corev1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.Projected != nil || v.DownwardAPI != nil
}

func collect(pod *corev1.Pod, v *corev1.Volume, src Source, f podenv.Facts) (map[string]file, error) {
	files := map[string]file{}
	var err error
	switch {
	case v.ConfigMap != nil:
		err = addConfigMap(files, pod.Namespace, v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.Optional, v.ConfigMap.DefaultMode, src)
	case v.Secret != nil:
		err = addSecret(files, pod.Namespace, v.Secret.SecretName, v.Secret.Items, v.Secret.Optional, v.Secret.DefaultMode, src)
	case v.DownwardAPI != nil:
		err = addDownward(files, pod, v.DownwardAPI.Items, v.DownwardAPI.DefaultMode, f)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			switch {
			case s.ConfigMap != nil:
				err = addConfigMap(files, pod.Namespace, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional, v.Projected.DefaultMode, src)
			case s.Secret != nil:
				err = addSecret(files, pod.Namespace, s.Secret.Name, s.Secret.Items, s.Secret.Optional, v.Projected.DefaultMode, src)
			case s.DownwardAPI != nil:
				err = addDownward(files, pod, s.DownwardAPI.Items, v.Projected.DefaultMode, f)
			case s.ServiceAccountToken != nil:
				var token string
				token, err = src.Token(pod, s.ServiceAccountToken)
				files[s.ServiceAccountToken.Path] = file{[]byte(token), mode(nil, v.Projected.DefaultMode)}
			default:
				err = errors.New("its source is not one that this node knows; it has configMap, secret, downwardAPI and serviceAccountToken")
			}
			if err != nil {
				break
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", v.Name, err)
	}
	for name := range files {
		if !filepath.IsLocal(name) || strings.HasPrefix(name, "..") {
			return nil, fmt.Errorf("volume %q: path %q leaves the volume", v.Name, name)
		}
	}
	return files, nil
}

func mode(own, byDefault *int32) os.FileMode {
	switch {
	case own != nil:
		return os.FileMode(*own)
	case byDefault != nil:
		return os.FileMode(*byDefault)
	}
	return 0o644
}

func addConfigMap(files map[string]file, namespace, name string, items []corev1.KeyToPath, optional *bool, defaultMode *int32, src Source) error {
	cm, err := src.ConfigMap(namespace, name)
	if err != nil {
		return unless(optional, err)
	}
	all := map[string][]byte{}
	for k, v := range cm.Data {
		all[k] = []byte(v)
	}
	maps.Copy(all, cm.BinaryData)
	return addItems(files, all, items, optional, defaultMode, "configmap")
}

func addSecret(files map[string]file, namespace, name string, items []corev1.KeyToPath, optional *bool, defaultMode *int32, src Source) error {
	s, err := src.Secret(namespace, name)
	if err != nil {
		return unless(optional, err)
	}
	return addItems(files, s.Data, items, optional, defaultMode, "secret")
}

func unless(optional *bool, err error) error {
	if optional != nil && *optional {
		return nil
	}
	return err
}

func addItems(files map[string]file, all map[string][]byte, items []corev1.KeyToPath, optional *bool, defaultMode *int32, kind string) error {
	if len(items) == 0 {
		for k, v := range all {
			files[k] = file{v, mode(nil, defaultMode)}
		}
		return nil
	}
	for _, item := range items {
		v, ok := all[item.Key]
		if !ok {
			if err := unless(optional, fmt.Errorf("%s references non-existent config key: %s", kind, item.Key)); err != nil {
				return err
			}
			continue
		}
		files[item.Path] = file{v, mode(item.Mode, defaultMode)}
	}
	return nil
}

func addDownward(files map[string]file, pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile, defaultMode *int32, f podenv.Facts) error {
	for _, item := range items {
		var v string
		var err error
		if item.FieldRef != nil {
			v, err = podenv.Field(pod, item.FieldRef.FieldPath, f)
		} else if item.ResourceFieldRef != nil {
			v, err = podenv.Resource(pod, nil, item.ResourceFieldRef, f)
		}
		if err != nil {
			return err
		}
		files[item.Path] = file{[]byte(v), mode(item.Mode, defaultMode)}
	}
	return nil
}

// publish replaces the volume's content in one step.
func publish(dir string, files map[string]file) error {
	link := filepath.Join(dir, dataLink)
	if same(link, files) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(dir, "..")
	if err != nil {
		return err
	}
	if err := fill(fresh, files); err != nil {
		os.RemoveAll(fresh)
		return err
	}
	old, _ := os.Readlink(link) // none at first
	temp := link + "_tmp"
	os.Remove(temp)
	if err := os.Symlink(filepath.Base(fresh), temp); err != nil {
		return err
	}
	if err := os.Rename(temp, link); err != nil {
		return err
	}
	if err := relink(dir, files); err != nil {
		return err
	}
	if old != "" {
		return os.RemoveAll(filepath.Join(dir, filepath.Base(old)))
	}
	return nil
}

func fill(dir string, files map[string]file) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for name, f := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(p, f.content, f.mode); err != nil {
			return err
		}
		if err := os.Chmod(p, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// relink has a link at the top for every first part of a file's path, and none for what is gone.
func relink(dir string, files map[string]file) error {
	want := map[string]bool{}
	for name := range files {
		first, _, _ := strings.Cut(name, "/")
		want[first] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") && !want[e.Name()] {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for _, first := range slices.Sorted(maps.Keys(want)) {
		err := os.Symlink(filepath.Join(dataLink, first), filepath.Join(dir, first))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// same reports whether the published files are exactly these.
func same(link string, files map[string]file) bool {
	if _, err := os.Stat(link); err != nil {
		return false
	}
	found := 0
	err := filepath.WalkDir(link+"/", func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(link, p)
		if err != nil {
			return err
		}
		f, ok := files[name]
		content, rerr := os.ReadFile(p)
		info, ierr := d.Info()
		if !ok || rerr != nil || ierr != nil || string(content) != string(f.content) || info.Mode().Perm() != f.mode.Perm() {
			return errors.New("differs")
		}
		found++
		return nil
	})
	return err == nil && found == len(files)
}
