package config

import (
	"maps"
	"slices"
)

// FeaturesName is the ConfigMap that ParseFeatures reads.
const FeaturesName = "config-features"

// Flag is the state of a feature.
type Flag string

const (
	// Enabled turns a feature on.
	Enabled Flag = "Enabled"
	// Allowed lets users turn it on for themselves.
	Allowed Flag = "Allowed"
	// Disabled turns it off.
	Disabled Flag = "Disabled"
	// AllowRootBounded, for SecurePodDefaults only, secures pods but lets them run as root.
	AllowRootBounded Flag = "AllowRootBounded"
)

// Feature is a key of config-features.
type Feature string

const (
	AutoDetectHTTP2                  Feature = "autodetect-http2"
	MultiContainer                   Feature = "multi-container"
	MultiContainerProbing            Feature = "multi-container-probing"
	QueueProxyMountPodInfo           Feature = "queueproxy.mount-podinfo"
	QueueProxyResourceDefaults       Feature = "queueproxy.resource-defaults"
	SecurePodDefaults                Feature = "secure-pod-defaults"
	TagHeaderBasedRouting            Feature = "tag-header-based-routing"
	ContainerSpecAddCapabilities     Feature = "kubernetes.containerspec-addcapabilities"
	PodSpecAffinity                  Feature = "kubernetes.podspec-affinity"
	PodSpecDNSConfig                 Feature = "kubernetes.podspec-dnsconfig"
	PodSpecDNSPolicy                 Feature = "kubernetes.podspec-dnspolicy"
	PodSpecFieldRef                  Feature = "kubernetes.podspec-fieldref"
	PodSpecHostAliases               Feature = "kubernetes.podspec-hostaliases"
	PodSpecHostIPC                   Feature = "kubernetes.podspec-hostipc"
	PodSpecHostNetwork               Feature = "kubernetes.podspec-hostnetwork"
	PodSpecHostPID                   Feature = "kubernetes.podspec-hostpid"
	PodSpecInitContainers            Feature = "kubernetes.podspec-init-containers"
	PodSpecNodeSelector              Feature = "kubernetes.podspec-nodeselector"
	PodSpecPersistentVolumeClaim     Feature = "kubernetes.podspec-persistent-volume-claim"
	PodSpecPersistentVolumeWrite     Feature = "kubernetes.podspec-persistent-volume-write"
	PodSpecPriorityClassName         Feature = "kubernetes.podspec-priorityclassname"
	PodSpecRuntimeClassName          Feature = "kubernetes.podspec-runtimeclassname"
	PodSpecSchedulerName             Feature = "kubernetes.podspec-schedulername"
	PodSpecSecurityContext           Feature = "kubernetes.podspec-securitycontext"
	PodSpecShareProcessNamespace     Feature = "kubernetes.podspec-shareprocessnamespace"
	PodSpecTolerations               Feature = "kubernetes.podspec-tolerations"
	PodSpecTopologySpreadConstraints Feature = "kubernetes.podspec-topologyspreadconstraints"
	PodSpecVolumesCSI                Feature = "kubernetes.podspec-volumes-csi"
	PodSpecVolumesEmptyDir           Feature = "kubernetes.podspec-volumes-emptydir"
	PodSpecVolumesEphemeral          Feature = "kubernetes.podspec-volumes-ephemeral"
	PodSpecVolumesHostPath           Feature = "kubernetes.podspec-volumes-hostpath"
	PodSpecVolumesImage              Feature = "kubernetes.podspec-volumes-image"
	PodSpecVolumesMountPropagation   Feature = "kubernetes.podspec-volumes-mount-propagation"
)

// Annotations by which users turn an Allowed feature on.
const (
	// QueueProxyPodInfoAnnotationKey, with the value "enabled", mounts pod information into the sidecar.
	QueueProxyPodInfoAnnotationKey = "features.knative.dev/queueproxy-podinfo"
	// HTTPFullDuplexAnnotationKey, with the value "enabled", is accepted. Envoy is always full duplex.
	HTTPFullDuplexAnnotationKey = "features.knative.dev/http-full-duplex"
)

// features are all of them as they are when the ConfigMap says nothing.
var features = map[Feature]Flag{
	AutoDetectHTTP2: Disabled, MultiContainer: Enabled, MultiContainerProbing: Disabled,
	QueueProxyMountPodInfo: Disabled, QueueProxyResourceDefaults: Disabled,
	SecurePodDefaults: Disabled, TagHeaderBasedRouting: Disabled, ContainerSpecAddCapabilities: Disabled,
	PodSpecAffinity: Disabled, PodSpecDNSConfig: Disabled, PodSpecDNSPolicy: Disabled, PodSpecFieldRef: Disabled,
	PodSpecHostAliases: Disabled, PodSpecHostIPC: Disabled, PodSpecHostNetwork: Disabled, PodSpecHostPID: Disabled,
	PodSpecInitContainers: Disabled, PodSpecNodeSelector: Disabled,
	PodSpecPersistentVolumeClaim: Disabled, PodSpecPersistentVolumeWrite: Disabled,
	PodSpecPriorityClassName: Disabled, PodSpecRuntimeClassName: Disabled, PodSpecSchedulerName: Disabled,
	PodSpecSecurityContext: Disabled, PodSpecShareProcessNamespace: Disabled, PodSpecTolerations: Disabled,
	PodSpecTopologySpreadConstraints: Disabled,
	PodSpecVolumesCSI:                Disabled, PodSpecVolumesEmptyDir: Enabled, PodSpecVolumesEphemeral: Disabled,
	PodSpecVolumesHostPath: Disabled, PodSpecVolumesImage: Disabled, PodSpecVolumesMountPropagation: Disabled,
}

// Features is what config-features says. The zero value has every feature off.
type Features struct {
	flags map[Feature]Flag
}

// Flag returns the state of a feature.
func (f Features) Flag(feature Feature) Flag {
	if flag, ok := f.flags[feature]; ok {
		return flag
	}
	return Disabled
}

// Enabled reports whether a feature is on for everybody.
func (f Features) Enabled(feature Feature) bool { return f.Flag(feature) == Enabled }

// Open reports whether a feature is not off.
func (f Features) Open(feature Feature) bool { return f.Flag(feature) != Disabled }

// SecurePods reports whether pods are secured where users say nothing, with or without root.
func (f Features) SecurePods() bool {
	flag := f.Flag(SecurePodDefaults)
	return flag == Enabled || flag == AllowRootBounded
}

// ParseFeatures reads the data of config-features.
func ParseFeatures(data map[string]string) (Features, []string, error) {
	r := read(FeaturesName, data)
	f := Features{flags: make(map[Feature]Flag, len(features))}
	for _, feature := range slices.Sorted(maps.Keys(features)) {
		words := []Flag{Enabled, Allowed, Disabled}
		if feature == SecurePodDefaults {
			words = []Flag{Enabled, AllowRootBounded, Disabled}
		}
		flag := features[feature]
		choice(r, &flag, words, string(feature))
		f.flags[feature] = flag
	}
	warnings, err := r.done()
	if err != nil {
		return Features{}, warnings, err
	}
	return f, warnings, nil
}
