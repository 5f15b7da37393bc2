package admission

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"ebb.dev/ebb/crds/autoscaling"
	autoscalingv1alpha1 "ebb.dev/ebb/crds/autoscaling/v1alpha1"
	"ebb.dev/ebb/crds/config"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/crds/serving/defaulting"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/crds/serving/validation"
)

// kinds are ours to judge.
var kinds = union(servingKinds, eventingKinds)

var servingKinds = map[schema.GroupVersionKind]judge{
	servingv1.SchemeGroupVersion.WithKind("Service"): rules[*servingv1.Service]{
		make:     func() *servingv1.Service { return &servingv1.Service{} },
		spec:     func(s *servingv1.Service) any { return s.Spec },
		complete: with(defaulting.Service),
		validate: validation.Service,
	}.judge,
	servingv1.SchemeGroupVersion.WithKind("Configuration"): rules[*servingv1.Configuration]{
		make:     func() *servingv1.Configuration { return &servingv1.Configuration{} },
		spec:     func(c *servingv1.Configuration) any { return c.Spec },
		complete: with(defaulting.Configuration),
		validate: validation.Configuration,
	}.judge,
	servingv1.SchemeGroupVersion.WithKind("Revision"): rules[*servingv1.Revision]{
		make:     func() *servingv1.Revision { return &servingv1.Revision{} },
		spec:     func(r *servingv1.Revision) any { return r.Spec },
		complete: with(defaulting.Revision),
		validate: validation.Revision,
	}.judge,
	servingv1.SchemeGroupVersion.WithKind("Route"): rules[*servingv1.Route]{
		make:     func() *servingv1.Route { return &servingv1.Route{} },
		spec:     func(r *servingv1.Route) any { return r.Spec },
		complete: with(defaulting.Route),
		validate: validation.Route,
	}.judge,
	networkingv1alpha1.SchemeGroupVersion.WithKind("Ingress"): rules[*networkingv1alpha1.Ingress]{
		make:     func() *networkingv1alpha1.Ingress { return &networkingv1alpha1.Ingress{} },
		spec:     func(i *networkingv1alpha1.Ingress) any { return i.Spec },
		complete: func(i, _ *networkingv1alpha1.Ingress, _ string, _ *config.Set) { i.SetDefaults() },
		validate: func(i, _ *networkingv1alpha1.Ingress, _ *config.Set) validation.Result {
			return validation.Result{Errors: i.Validate()}
		},
	}.judge,
	autoscalingv1alpha1.SchemeGroupVersion.WithKind("PodAutoscaler"): rules[*autoscalingv1alpha1.PodAutoscaler]{
		make:     func() *autoscalingv1alpha1.PodAutoscaler { return &autoscalingv1alpha1.PodAutoscaler{} },
		spec:     func(pa *autoscalingv1alpha1.PodAutoscaler) any { return pa.Spec },
		complete: podAutoscaler,
		validate: func(pa, _ *autoscalingv1alpha1.PodAutoscaler, cfg *config.Set) validation.Result {
			return validation.Result{Errors: pa.Validate(cfg.Autoscaler)}
		},
	}.judge,
	corev1.SchemeGroupVersion.WithKind("ConfigMap"): configMap,
}

// judge answers a request for one kind.
type judge func(Request, *config.Set) Response

func union(parts ...map[schema.GroupVersionKind]judge) map[schema.GroupVersionKind]judge {
	all := map[schema.GroupVersionKind]judge{}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all
}

// rules are those of one kind.
type rules[O object] struct {
	make     func() O
	spec     func(O) any
	complete func(changed, old O, user string, cfg *config.Set)
	validate func(changed, old O, cfg *config.Set) validation.Result
}

// with gives a kind's defaults what they ask for of the ConfigMaps.
func with[O object](complete func(changed, old O, in defaulting.Input)) func(O, O, string, *config.Set) {
	return func(changed, old O, user string, cfg *config.Set) {
		complete(changed, old, defaulting.Input{Defaults: cfg.Defaults, Features: cfg.Features, User: user})
	}
}

func (k rules[O]) judge(req Request, cfg *config.Set) Response {
	changed := k.make()
	if problems, err := decode(req.New, changed); err != nil {
		return req.unreadable(err)
	} else if len(problems) > 0 {
		return req.refuseAll(problems)
	}
	var old O
	if len(req.Old) > 0 {
		old = k.make()
		if _, err := decode(req.Old, old); err != nil { // what is unknown there is stored and cannot be helped
			return req.refuse("the stored object cannot be read: %v", err)
		}
	}
	before := k.content(changed.DeepCopyObject().(O))
	k.complete(changed, old, req.User, cfg)
	result := k.validate(changed, old, cfg)
	name := req.Name
	if name == "" {
		name = changed.GetName() + changed.GetGenerateName()
	}
	response := Response{
		Refusal:  Message(req.Kind.Kind, req.Namespace, name, result.Errors),
		Warnings: result.Warnings,
		Object:   changed,
	}
	var err error
	if response.Patch, err = patch(before, k.content(changed)); err != nil {
		return req.refuse("cannot be written: %v", err)
	}
	return response
}

func (k rules[O]) content(o O) content {
	return content{annotations: maps.Clone(o.GetAnnotations()), labels: maps.Clone(o.GetLabels()), spec: k.spec(o)}
}

// podAutoscaler names the class and, where it is one of Knative's, the metric.
func podAutoscaler(pa, _ *autoscalingv1alpha1.PodAutoscaler, _ string, cfg *config.Set) {
	if pa.Annotations == nil {
		pa.Annotations = map[string]string{}
	}
	_, class, found := autoscaling.ClassKey.Get(pa.Annotations)
	if !found {
		class = cfg.Autoscaler.Class
		pa.Annotations[autoscaling.ClassKey.Name()] = class
	}
	metric := map[string]string{autoscaling.KPA: autoscaling.Concurrency, autoscaling.HPA: autoscaling.CPU}[class]
	if _, _, found := autoscaling.MetricKey.Get(pa.Annotations); !found && metric != "" {
		pa.Annotations[autoscaling.MetricKey.Name()] = metric
	}
}
