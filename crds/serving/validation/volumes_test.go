package validation

import (
	"testing"

	"ebb.dev/ebb/crds/config"
)

// mounted is a pod with volumes, all named v, w or x, and mounts for them.
func mounted(volumes, mounts string) string {
	return podOf("containers: [{image: a, volumeMounts: [" + mounts + "]}], volumes: [" + volumes + "]")
}

func TestVolumes(t *testing.T) {
	const v0 = "spec.template.spec.volumes[0]"
	const mount = "{name: v, mountPath: /v}"
	claims := on(config.PodSpecPersistentVolumeClaim)
	run(t, []example{
		{name: "all that are open", manifest: mounted("{name: v, secret: {secretName: s}}, {name: w, configMap: {name: c}}, {name: x, emptyDir: {medium: Memory, sizeLimit: 1Mi}}",
			mount+", {name: w, mountPath: /w}, {name: x, mountPath: /x}")},
		{name: "no kind", manifest: mounted("{name: v}", mount), want: []string{v0 + ": secret, configMap, projected, emptyDir"}},
		{name: "two kinds", manifest: mounted("{name: v, secret: {secretName: s}, emptyDir: {}}", mount), want: []string{v0 + ": secret, emptyDir"}},
		{name: "a kind that is off", manifest: mounted("{name: v, hostPath: {path: /}}", mount), want: []string{v0 + ".hostPath: kubernetes.podspec-volumes-hostpath"}},
		{name: "a kind that is merely allowed", manifest: mounted("{name: v, hostPath: {path: /}}", mount),
			features: map[string]string{"kubernetes.podspec-volumes-hostpath": "Allowed"}, want: []string{v0 + ".hostPath: to Enabled"}},
		{name: "a kind that is open", manifest: mounted("{name: v, hostPath: {path: /}}", mount), features: on(config.PodSpecVolumesHostPath)},
		{name: "a kind that revisions do not have", manifest: mounted("{name: v, nfs: {server: a, path: /}}", mount),
			want: []string{v0 + ".nfs: revisions do not have this field", v0 + ": expected exactly one kind"}},
		{name: "emptyDir off", manifest: mounted("{name: v, emptyDir: {}}", mount), features: map[string]string{"kubernetes.podspec-volumes-emptydir": "Disabled"},
			want: []string{v0 + ".emptyDir: kubernetes.podspec-volumes-emptydir"}},
		{name: "emptyDir bounds", manifest: mounted("{name: v, emptyDir: {medium: Tape, sizeLimit: -1}}", mount),
			want: []string{v0 + ".emptyDir.medium: Memory", v0 + ".emptyDir.sizeLimit: not be negative"}},
		{name: "names", manifest: mounted("{name: v, emptyDir: {}}, {name: v, emptyDir: {}}, {name: Not_A_Name, emptyDir: {}}, {emptyDir: {}}", mount),
			want: []string{"spec.template.spec.volumes[1].name: Duplicate", "spec.template.spec.volumes[2].name: is no name", "spec.template.spec.volumes[3].name: name the volume"}},
		{name: "not mounted", manifest: mounted("{name: v, emptyDir: {}}", ""), want: []string{v0 + ".name: not mounted"}},
		{name: "a claim to read", manifest: mounted("{name: v, persistentVolumeClaim: {claimName: c, readOnly: true}}", "{name: v, mountPath: /v, readOnly: true}"), features: claims},
		{name: "a claim to write", manifest: mounted("{name: v, persistentVolumeClaim: {claimName: c}}", mount), features: claims,
			want: []string{v0 + ".persistentVolumeClaim.readOnly: kubernetes.podspec-persistent-volume-write"}},
		{name: "a claim to write, open", manifest: mounted("{name: v, persistentVolumeClaim: {claimName: c}}", mount),
			features: on(config.PodSpecPersistentVolumeClaim, config.PodSpecPersistentVolumeWrite)},
		{name: "an image", manifest: mounted("{name: v, image: {pullPolicy: Maybe}}", mount), features: on(config.PodSpecVolumesImage),
			want: []string{v0 + ".image.reference: name an image", v0 + ".image.pullPolicy: Always"}},
	})
}

func TestProjectedVolumes(t *testing.T) {
	const s = "spec.template.spec.volumes[0].projected.sources"
	run(t, []example{{
		name: "all that are open",
		manifest: mounted(`{name: v, projected: {sources: [{secret: {name: s, items: [{key: k, path: p}]}}, {configMap: {name: c}},
			{serviceAccountToken: {path: t}}, {downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}]}}]}}`, "{name: v, mountPath: /v}"),
	}, {
		name: "what is missing",
		manifest: mounted(`{name: v, projected: {sources: [{secret: {items: [{}]}}, {configMap: {}}, {serviceAccountToken: {}},
			{downwardAPI: {items: [{}]}}, {}, {clusterTrustBundle: {path: a}}]}}`, "{name: v, mountPath: /v}"),
		want: []string{
			s + "[0].secret.name: name the object", s + "[0].secret.items[0].key: name the key", s + "[0].secret.items[0].path: file's path",
			s + "[1].configMap.name: name the object", s + "[2].serviceAccountToken.path: file's path",
			s + "[3].downwardAPI.items[0]: exactly one", s + "[3].downwardAPI.items[0].path: file's path",
			s + "[4]: exactly one", s + "[5]: exactly one", s + "[5].clusterTrustBundle: revisions do not have",
		},
	}})
}

func TestMounts(t *testing.T) {
	const m = "spec.template.spec.containers[0].volumeMounts"
	const v = "{name: v, emptyDir: {}}"
	run(t, []example{
		{name: "of nothing", manifest: mounted("", "{name: v, mountPath: /v}"), want: []string{m + "[0].name: no matching volume"}},
		{name: "paths", manifest: mounted(v, "{name: v}, {name: v, mountPath: /}, {name: v, mountPath: /dev/}, {name: v, mountPath: a}, {name: v, mountPath: /a}, {name: v, mountPath: /a/}"),
			want: []string{m + "[0].mountPath: say where", m + "[1].mountPath: reserved", m + "[2].mountPath: reserved", m + "[3].mountPath: absolute", m + "[5].mountPath: Duplicate"}},
		{name: "propagation, off", manifest: mounted(v, "{name: v, mountPath: /v, mountPropagation: HostToContainer}"),
			want: []string{m + "[0].mountPropagation: kubernetes.podspec-volumes-mount-propagation"}},
		{name: "propagation, both ways", manifest: mounted(v, "{name: v, mountPath: /v, mountPropagation: Bidirectional}"),
			features: on(config.PodSpecVolumesMountPropagation), want: []string{m + "[0].mountPropagation: HostToContainer"}},
		{name: "recursion", manifest: mounted(v, "{name: v, mountPath: /v, recursiveReadOnly: Enabled}"), want: []string{m + "[0].recursiveReadOnly: revisions do not have"}},
		{name: "writing to what is read-only", manifest: mounted("{name: v, persistentVolumeClaim: {claimName: c, readOnly: true}}", "{name: v, mountPath: /v}"),
			features: on(config.PodSpecPersistentVolumeClaim), want: []string{m + "[0].readOnly: volume is readOnly"}},
	})
}
