package validation

import (
	"fmt"
	stdpath "path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/config"
)

var reservedPaths = sets.New("/", "/dev", "/dev/log")

func (p *pod) validateVolumes(spec *corev1.PodSpec, path *field.Path) {
	mounted := sets.New[string]()
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, m := range c.VolumeMounts {
			mounted.Insert(m.Name)
		}
	}
	p.volumes = make(map[string]*corev1.Volume, len(spec.Volumes))
	for i := range spec.Volumes {
		v, at := &spec.Volumes[i], path.Index(i)
		problems := validation.IsDNS1123Label(v.Name)
		switch {
		case v.Name == "":
			p.add(field.Required(at.Child("name"), "name the volume"))
		case len(problems) > 0:
			p.add(field.Invalid(at.Child("name"), v.Name, "is no name of a volume: "+problems[0]))
		case p.volumes[v.Name] != nil:
			p.add(field.Duplicate(at.Child("name"), v.Name))
		case !mounted.Has(v.Name):
			p.add(field.Invalid(at.Child("name"), v.Name, "is not mounted by any container; mount or remove it"))
		}
		p.volumes[v.Name] = v
		p.volume(v, at)
	}
}

// volumeSources are the kinds of volume a revision may have, with the features that must be on, not merely allowed.
var volumeSources = []struct {
	field   string
	feature config.Feature
	set     func(*corev1.Volume) bool
}{
	{"secret", "", func(v *corev1.Volume) bool { return v.Secret != nil }},
	{"configMap", "", func(v *corev1.Volume) bool { return v.ConfigMap != nil }},
	{"projected", "", func(v *corev1.Volume) bool { return v.Projected != nil }},
	{"emptyDir", config.PodSpecVolumesEmptyDir, func(v *corev1.Volume) bool { return v.EmptyDir != nil }},
	{"persistentVolumeClaim", config.PodSpecPersistentVolumeClaim, func(v *corev1.Volume) bool { return v.PersistentVolumeClaim != nil }},
	{"hostPath", config.PodSpecVolumesHostPath, func(v *corev1.Volume) bool { return v.HostPath != nil }},
	{"csi", config.PodSpecVolumesCSI, func(v *corev1.Volume) bool { return v.CSI != nil }},
	{"ephemeral", config.PodSpecVolumesEphemeral, func(v *corev1.Volume) bool { return v.Ephemeral != nil }},
	{"image", config.PodSpecVolumesImage, func(v *corev1.Volume) bool { return v.Image != nil }},
}

func (p *pod) volume(v *corev1.Volume, path *field.Path) {
	var set, open []string
	for _, source := range volumeSources {
		enabled := source.feature == "" || p.features.Enabled(source.feature)
		if enabled {
			open = append(open, source.field)
		}
		if !source.set(v) {
			continue
		}
		set = append(set, source.field)
		if !enabled && p.features.Open(source.feature) { // where it is off, the field itself has been refused
			p.add(p.notEnabled(source.feature, path.Child(source.field)))
		}
	}
	switch {
	case len(set) == 0:
		p.add(field.Required(path, "expected exactly one kind of volume, got neither of "+strings.Join(open, ", ")))
	case len(set) > 1:
		p.add(field.Forbidden(path, fmt.Sprintf("expected exactly one kind of volume, got both of %s; make two volumes", strings.Join(set, ", "))))
	}
	p.volumeContent(v, path)
}

func (p *pod) notEnabled(feature config.Feature, path *field.Path) *field.Error {
	return field.Forbidden(path, fmt.Sprintf("must not be set; remove it, or set %s to Enabled in %s", feature, config.ObjectName(config.FeaturesName)))
}

func (p *pod) volumeContent(v *corev1.Volume, path *field.Path) {
	if v.Secret != nil {
		p.items(v.Secret.Items, path.Child("secret", "items"))
	}
	if v.ConfigMap != nil {
		p.items(v.ConfigMap.Items, path.Child("configMap", "items"))
	}
	if v.Projected != nil {
		for i := range v.Projected.Sources {
			p.projection(&v.Projected.Sources[i], path.Child("projected", "sources").Index(i))
		}
	}
	if d := v.EmptyDir; d != nil {
		at := path.Child("emptyDir")
		if d.Medium != corev1.StorageMediumDefault && d.Medium != corev1.StorageMediumMemory {
			p.add(field.NotSupported(at.Child("medium"), d.Medium, []corev1.StorageMedium{"", corev1.StorageMediumMemory}))
		}
		if d.SizeLimit != nil && d.SizeLimit.Sign() < 0 {
			p.add(field.Invalid(at.Child("sizeLimit"), d.SizeLimit.String(), "must not be negative"))
		}
	}
	if c := v.PersistentVolumeClaim; c != nil && !c.ReadOnly && !p.features.Enabled(config.PodSpecPersistentVolumeWrite) {
		p.add(field.Invalid(path.Child("persistentVolumeClaim", "readOnly"), c.ReadOnly, fmt.Sprintf(
			"Persistent volume write support is disabled; set it to true, or %s to Enabled in %s",
			config.PodSpecPersistentVolumeWrite, config.ObjectName(config.FeaturesName))))
	}
	if img := v.Image; img != nil {
		p.imageVolume(img, path.Child("image"))
	}
}

func (p *pod) imageVolume(img *corev1.ImageVolumeSource, path *field.Path) {
	if img.Reference == "" {
		p.add(field.Required(path.Child("reference"), "name an image"))
	}
	switch img.PullPolicy {
	case "", corev1.PullIfNotPresent, corev1.PullAlways, corev1.PullNever:
	default:
		p.add(field.NotSupported(path.Child("pullPolicy"), img.PullPolicy, []corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}))
	}
}

func (p *pod) items(items []corev1.KeyToPath, path *field.Path) {
	for i := range items {
		if items[i].Key == "" {
			p.add(field.Required(path.Index(i).Child("key"), "name the key to project"))
		}
		if items[i].Path == "" {
			p.add(field.Required(path.Index(i).Child("path"), "give the file's path in the volume"))
		}
	}
}

func (p *pod) projection(s *corev1.VolumeProjection, path *field.Path) {
	count := 0
	if c := s.Secret; c != nil {
		count++
		p.named(c.Name, path.Child("secret", "name"))
		p.items(c.Items, path.Child("secret", "items"))
	}
	if c := s.ConfigMap; c != nil {
		count++
		p.named(c.Name, path.Child("configMap", "name"))
		p.items(c.Items, path.Child("configMap", "items"))
	}
	if t := s.ServiceAccountToken; t != nil {
		count++
		if t.Path == "" {
			p.add(field.Required(path.Child("serviceAccountToken", "path"), "give the file's path in the volume"))
		}
	}
	if d := s.DownwardAPI; d != nil {
		count++
		for i := range d.Items {
			p.downward(&d.Items[i], path.Child("downwardAPI", "items").Index(i))
		}
	}
	if count != 1 {
		p.add(field.Forbidden(path, fmt.Sprintf("expected exactly one of secret, configMap, serviceAccountToken and downwardAPI, got %d", count)))
	}
}

func (p *pod) named(name string, path *field.Path) {
	if name == "" {
		p.add(field.Required(path, "name the object to project"))
	}
}

func (p *pod) downward(f *corev1.DownwardAPIVolumeFile, path *field.Path) {
	if (f.FieldRef == nil) == (f.ResourceFieldRef == nil) {
		p.add(field.Forbidden(path, "expected exactly one of fieldRef and resourceFieldRef"))
	}
	if f.Path == "" {
		p.add(field.Required(path.Child("path"), "give the file's path in the volume"))
	}
}

func (p *pod) mounts(mounts []corev1.VolumeMount, path *field.Path) {
	seen := sets.New[string]()
	for i := range mounts {
		m, at := &mounts[i], path.Index(i)
		v := p.volumes[m.Name]
		if v == nil {
			p.add(field.Invalid(at.Child("name"), m.Name, "has no matching volume; add it to volumes"))
			v = &corev1.Volume{}
		}
		p.mountPath(m.MountPath, seen, at.Child("mountPath"))
		p.mountAccess(m, v, at)
		if mode := m.MountPropagation; mode != nil {
			if p.features.Flag(config.PodSpecVolumesMountPropagation) == config.Allowed {
				p.add(p.notEnabled(config.PodSpecVolumesMountPropagation, at.Child("mountPropagation")))
			}
			if *mode != corev1.MountPropagationNone && *mode != corev1.MountPropagationHostToContainer {
				p.add(field.NotSupported(at.Child("mountPropagation"), *mode,
					[]corev1.MountPropagationMode{corev1.MountPropagationNone, corev1.MountPropagationHostToContainer}))
			}
		}
	}
}

func (p *pod) mountPath(mountPath string, seen sets.Set[string], path *field.Path) {
	clean := stdpath.Clean(mountPath)
	switch {
	case mountPath == "":
		p.add(field.Required(path, "say where in the container to mount the volume"))
	case reservedPaths.Has(clean):
		p.add(field.Invalid(path, mountPath, "is a reserved path, choose another"))
	case !stdpath.IsAbs(mountPath):
		p.add(field.Invalid(path, mountPath, "must be an absolute path"))
	case seen.Has(clean):
		p.add(field.Duplicate(path, mountPath))
	}
	seen.Insert(clean)
}

func (p *pod) mountAccess(m *corev1.VolumeMount, v *corev1.Volume, path *field.Path) {
	writable := v.EmptyDir != nil || v.PersistentVolumeClaim != nil || v.Ephemeral != nil
	readOnlyClaim := v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ReadOnly
	switch {
	case m.ReadOnly:
	case !writable:
		p.add(field.Invalid(path.Child("readOnly"), m.ReadOnly, "volume mount should be readOnly for this type of volume; set it to true"))
	case readOnlyClaim:
		p.add(field.Invalid(path.Child("readOnly"), m.ReadOnly, "volume is readOnly but volume mount is not; set it to true"))
	}
}
