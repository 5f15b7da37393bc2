package admission

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/crds/eventing"
	"ebb.dev/ebb/crds/flows"
	"ebb.dev/ebb/crds/messaging"
	"ebb.dev/ebb/crds/networking"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/crds/sinks"
	"ebb.dev/ebb/crds/sources"
)

// Names of the webhook configurations, as Knative's are called.
const (
	MutatingName   = "webhook.serving.knative.dev"
	ValidatingName = "validation.webhook.serving.knative.dev"
	ConfigName     = "config.webhook.serving.knative.dev"
)

// timeoutSeconds is how long the API server waits for an answer.
const timeoutSeconds = 10

// excludeKey, on a namespace, keeps it out of admission.
const excludeKey = "webhooks.knative.dev/exclude"

// Mutating returns the registration of the webhook that completes and refuses our kinds.
// client returns where a path is served: a Service or a URL, with the CA that signed its certificate.
func Mutating(client func(path string) admissionregistrationv1.WebhookClientConfig) *admissionregistrationv1.MutatingWebhookConfiguration {
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: meta(MutatingName),
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:                    MutatingName,
			ClientConfig:            client(MutatingPath),
			Rules:                   ourKinds(),
			NamespaceSelector:       notExcluded(),
			FailurePolicy:           ptr.To(admissionregistrationv1.Fail),
			MatchPolicy:             ptr.To(admissionregistrationv1.Equivalent),
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			ReinvocationPolicy:      ptr.To(admissionregistrationv1.IfNeededReinvocationPolicy),
			TimeoutSeconds:          ptr.To[int32](timeoutSeconds),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

// Validating returns the registration of the webhook that refuses our kinds once all others have changed what they like.
func Validating(client func(path string) admissionregistrationv1.WebhookClientConfig) *admissionregistrationv1.ValidatingWebhookConfiguration {
	return validating(ValidatingName, client(ValidatingPath), ourKinds(), notExcluded())
}

// Config returns the registration of the webhook that refuses ConfigMaps with bad values.
func Config(client func(path string) admissionregistrationv1.WebhookClientConfig) *admissionregistrationv1.ValidatingWebhookConfiguration {
	configuration := validating(ConfigName, client(ConfigPath),
		[]admissionregistrationv1.RuleWithOperations{rule("", "v1", "configmaps")},
		systems("kubernetes.io/metadata.name"))
	// Others' ConfigMaps in the namespaces must not wait for us.
	configuration.Webhooks[0].ObjectSelector = systems("app.kubernetes.io/name")
	return configuration
}

// systems selects by a label that has the name of either part of Knative, which is that of its namespace too.
func systems(key string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{serving.SystemNamespace, eventing.SystemNamespace},
	}}}
}

func validating(
	name string, client admissionregistrationv1.WebhookClientConfig, rules []admissionregistrationv1.RuleWithOperations, namespaces *metav1.LabelSelector,
) *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: meta(name),
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    name,
			ClientConfig:            client,
			Rules:                   rules,
			NamespaceSelector:       namespaces,
			FailurePolicy:           ptr.To(admissionregistrationv1.Fail),
			MatchPolicy:             ptr.To(admissionregistrationv1.Equivalent),
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          ptr.To[int32](timeoutSeconds),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"app.kubernetes.io/name": serving.SystemNamespace, "app.kubernetes.io/component": "webhook",
	}}
}

// ourKinds leaves out status: it is only ever written by us.
func ourKinds() []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{
		rule(serving.GroupName, "v1", "configurations", "revisions", "routes", "services"),
		rule(networking.GroupName, "v1alpha1", "ingresses"),
		rule(autoscaling.InternalGroupName, "v1alpha1", "podautoscalers"),
		rule(eventing.GroupName, "v1", "brokers", "triggers"),
		rule(eventing.GroupName, "v1beta2", "eventtypes"),
		rule(eventing.GroupName, "v1beta3", "eventtypes"),
		rule(eventing.GroupName, "v1alpha1", "eventpolicies", "kafkasinks", "requestreplies"),
		rule(messaging.GroupName, "v1", "channels", "inmemorychannels", "subscriptions"),
		rule(messaging.GroupName, "v1beta1", "kafkachannels"),
		rule(messaging.GroupName, "v1alpha1", "natsjetstreamchannels"),
		rule(flows.GroupName, "v1", "parallels", "sequences"),
		rule(sources.GroupName, "v1", "apiserversources", "containersources", "cronjobsources", "kafkasources", "pingsources", "sinkbindings"),
		rule(sources.GroupName, "v1beta1", "kafkasources"),
		rule(sinks.GroupName, "v1alpha1", "jobsinks"),
	}
}

func rule(group, version string, resources ...string) admissionregistrationv1.RuleWithOperations {
	return admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{group}, APIVersions: []string{version}, Resources: resources,
			Scope: ptr.To(admissionregistrationv1.NamespacedScope),
		},
	}
}

func notExcluded() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: excludeKey, Operator: metav1.LabelSelectorOpDoesNotExist,
	}}}
}
