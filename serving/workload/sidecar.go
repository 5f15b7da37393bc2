package workload

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// SidecarResources returns what a replica's sidecar requests and what it may use: as the revision's annotations say, else a share of
// the user container's if they give a percentage, else config-deployment.
func SidecarResources(r *servingv1.Revision, cfg *config.Deployment) corev1.ResourceRequirements {
	user := r.Spec.UserContainer().Resources
	share := sidecarShare(r.Annotations)
	out := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for _, a := range amounts(cfg) {
		from, into := user.Requests, out.Requests
		if a.limit {
			from, into = user.Limits, out.Limits
		}
		if q := a.resolve(r.Annotations, from[a.name], share); q != nil {
			into[a.name] = q.DeepCopy()
		}
	}
	return out
}

// amount is one figure of a sidecar's resources.
type amount struct {
	name     corev1.ResourceName
	limit    bool
	fallback *resource.Quantity // of config-deployment; nil is none
	key      string             // the annotation that says it
	min, max string             // bounds of a share; "" where shares do not apply
}

func amounts(cfg *config.Deployment) []amount {
	return []amount{
		{corev1.ResourceCPU, false, cfg.SidecarCPURequest, serving.SidecarCPURequestAnnotationKey, "25m", "100m"},
		{corev1.ResourceCPU, true, cfg.SidecarCPULimit, serving.SidecarCPULimitAnnotationKey, "40m", "500m"},
		{corev1.ResourceMemory, false, cfg.SidecarMemoryRequest, serving.SidecarMemoryRequestAnnotationKey, "50Mi", "200Mi"},
		{corev1.ResourceMemory, true, cfg.SidecarMemoryLimit, serving.SidecarMemoryLimitAnnotationKey, "200Mi", "500Mi"},
		{corev1.ResourceEphemeralStorage, false, cfg.SidecarEphemeralStorageRequest, serving.SidecarEphemeralStorageRequestAnnotationKey, "", ""},
		{corev1.ResourceEphemeralStorage, true, cfg.SidecarEphemeralStorageLimit, serving.SidecarEphemeralStorageLimitAnnotationKey, "", ""},
	}
}

// resolve returns the figure, nil if nobody gives one. user is that of the user container, share from 0 to 1.
func (a amount) resolve(annotations map[string]string, user resource.Quantity, share float64) *resource.Quantity {
	if q, err := resource.ParseQuantity(annotations[a.key]); err == nil {
		return &q
	}
	if share == 0 || user.IsZero() || a.min == "" {
		return a.fallback
	}
	least, most := resource.MustParse(a.min), resource.MustParse(a.max)
	q := resource.NewMilliQuantity(int64(user.AsApproximateFloat64()*1000*share), resource.BinarySI)
	switch {
	case q.Cmp(least) < 0:
		return &least
	case q.Cmp(most) > 0:
		return &most
	}
	return q
}

// sidecarShare returns the share of the user container's resources that the sidecar shall have, 0 if the annotations do not say.
func sidecarShare(annotations map[string]string) float64 {
	_, written, _ := serving.Lookup(annotations, serving.SidecarResourcePercentageAnnotationKey, serving.SidecarResourcePercentageAltAnnotationKey)
	percent, err := strconv.ParseFloat(written, 64)
	if err != nil || percent <= 0 || percent > 100 {
		return 0
	}
	return percent / 100
}
