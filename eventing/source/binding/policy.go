package binding

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/eventing"
	"ebb.dev/ebb/crds/serving"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
)

// Names of the policies, for workloads with a template of pods and for CronJobs, and of their bindings.
const (
	PolicyName        = "sinkbindings.webhook.sources.knative.dev"
	CronJobPolicyName = "cronjobs.sinkbindings.webhook.sources.knative.dev"
)

// policies are both, with their bindings. They apply as something is made: what is there, the reconciler changes, and the two never contend.
// A policy that fails stops nobody from making workloads.
func policies() []client.Object {
	var out []client.Object
	for _, p := range []struct {
		name, path, field string
		rules             []admissionregistrationv1.NamedRuleWithOperations
	}{
		{PolicyName, "/spec/template/spec", "object.spec.template.spec", []admissionregistrationv1.NamedRuleWithOperations{
			creation("apps", "daemonsets", "deployments", "statefulsets"), creation("batch", "jobs"), creation(serving.GroupName, "services"),
		}},
		{CronJobPolicyName, "/spec/jobTemplate/spec/template/spec", "object.spec.jobTemplate.spec.template.spec", []admissionregistrationv1.NamedRuleWithOperations{
			creation("batch", "cronjobs"),
		}},
	} {
		labels := map[string]string{"app.kubernetes.io/name": eventing.SystemNamespace, "app.kubernetes.io/part-of": "ebb"}
		out = append(out,
			&admissionregistrationv1.MutatingAdmissionPolicy{
				ObjectMeta: metav1.ObjectMeta{Name: p.name, Labels: labels},
				Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
					ParamKind:        &admissionregistrationv1.ParamKind{APIVersion: sourcesv1.SchemeGroupVersion.String(), Kind: "SinkBinding"},
					MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: p.rules, MatchPolicy: ptr.To(admissionregistrationv1.Equivalent)},
					MatchConditions:  conditionsCEL,
					Variables: []admissionregistrationv1.Variable{
						{Name: "pod", Expression: p.field}, {Name: "overrides", Expression: overridesCEL}, {Name: "told", Expression: toldCEL},
						{Name: "secret", Expression: secretCEL},
					},
					Mutations: []admissionregistrationv1.Mutation{{
						PatchType: admissionregistrationv1.PatchTypeJSONPatch,
						JSONPatch: &admissionregistrationv1.JSONPatch{
							Expression: patchCEL(p.path, "containers") + " + (has(variables.pod.initContainers) ? " + patchCEL(p.path, "initContainers") + " : [])" +
								" + (variables.secret == '' ? [] : " + volumeCEL(p.path) + " + " + mountCEL(p.path, "containers") +
								" + (has(variables.pod.initContainers) ? " + mountCEL(p.path, "initContainers") + " : []))",
						},
					}},
					FailurePolicy:      ptr.To(admissionregistrationv1.Ignore),
					ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
				},
			},
			&admissionregistrationv1.MutatingAdmissionPolicyBinding{
				ObjectMeta: metav1.ObjectMeta{Name: p.name, Labels: labels},
				Spec: admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{
					PolicyName: p.name,
					ParamRef: &admissionregistrationv1.ParamRef{
						Selector: &metav1.LabelSelector{}, ParameterNotFoundAction: ptr.To(admissionregistrationv1.AllowAction),
					},
				},
			})
	}
	return out
}

func creation(group string, resources ...string) admissionregistrationv1.NamedRuleWithOperations {
	return admissionregistrationv1.NamedRuleWithOperations{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: resources, Scope: ptr.To(admissionregistrationv1.NamespacedScope),
		},
	}}
}

// conditionsCEL pick the SinkBindings of the namespace that have a sink and name what is being made. Without any of a kind in the namespace
// the API server does not come this far.
var conditionsCEL = []admissionregistrationv1.MatchCondition{
	{Name: "bound", Expression: `!has(params.metadata.deletionTimestamp) && has(params.status) && has(params.status.sinkUri)`},
	{Name: "kind", Expression: `params.spec.subject.kind == request.kind.kind && ` +
		`(params.spec.subject.apiVersion.contains('/') ? params.spec.subject.apiVersion.split('/')[0] : '') == request.kind.group`},
	{Name: "subject", Expression: `has(params.spec.subject.name) && params.spec.subject.name != '' ? ` +
		`has(object.metadata.name) && object.metadata.name == params.spec.subject.name : ` +
		`has(params.spec.subject.selector) && ` +
		`(!has(params.spec.subject.selector.matchLabels) || params.spec.subject.selector.matchLabels.all(k, ` + has("k") +
		` && object.metadata.labels[k] == params.spec.subject.selector.matchLabels[k])) && ` +
		`(!has(params.spec.subject.selector.matchExpressions) || params.spec.subject.selector.matchExpressions.all(e, ` +
		`e.operator == 'Exists' ? ` + has("e.key") + ` : ` +
		`e.operator == 'DoesNotExist' ? !(` + has("e.key") + `) : ` +
		`e.operator == 'In' ? ` + has("e.key") + ` && object.metadata.labels[e.key] in e.values : ` +
		`!(` + has("e.key") + ` && object.metadata.labels[e.key] in e.values)))`},
}

// has is an expression that says whether the object has a label.
func has(key string) string {
	return `has(object.metadata.labels) && ` + key + ` in object.metadata.labels`
}

// overridesCEL is what sets attributes on every event, as JSON.
const overridesCEL = `!has(params.spec.ceOverrides) ? '' : !has(params.spec.ceOverrides.extensions) ? '{}' : ` +
	`'{"extensions":{' + params.spec.ceOverrides.extensions.map(k, strings.quote(k) + ':' + strings.quote(string(params.spec.ceOverrides.extensions[k]))).sort().join(',') + '}}'`

// toldCEL are the variables that a container is given.
const toldCEL = `[{'name': '` + sinkVariable + `', 'value': string(params.status.sinkUri)}] + ` +
	`(has(params.status.sinkCACerts) ? [{'name': '` + rootsVariable + `', 'value': string(params.status.sinkCACerts)}] : []) + ` +
	`[{'name': '` + overridesVariable + `', 'value': variables.overrides}]`

// patchCEL gives each container of a list its variables, in place of those it may have.
func patchCEL(path, list string) string {
	return fmt.Sprintf(`variables.pod.%[2]s.transformList(i, c, JSONPatch{op: 'add', path: '%[1]s/%[2]s/' + string(i) + '/env', `+
		`value: (has(c.env) ? c.env.filter(e, !(e.name in ['%[3]s', '%[4]s', '%[5]s'])) : []) + dyn(variables.told)})`,
		path, list, sinkVariable, rootsVariable, overridesVariable)
}

// secretCEL is the Secret that has the token; "" for none.
const secretCEL = `has(params.status.oidcTokenSecretName) ? string(params.status.oidcTokenSecretName) : ''`

// volumeCEL gives the pods the volume with the token, in place of one that they may have. Literals have values of one type.
func volumeCEL(path string) string {
	return fmt.Sprintf(`[JSONPatch{op: 'add', path: '%[1]s/volumes', value: (has(variables.pod.volumes) ? variables.pod.volumes.filter(v, v.name != '%[2]s') : []) + `+
		`dyn([{'name': dyn('%[2]s'), 'projected': dyn({'sources': [{'secret': {'name': variables.secret}}]})}])}]`, path, tokenVolume)
}

// mountCEL mounts it in each container of a list.
func mountCEL(path, list string) string {
	return fmt.Sprintf(`variables.pod.%[2]s.transformList(i, c, JSONPatch{op: 'add', path: '%[1]s/%[2]s/' + string(i) + '/volumeMounts', `+
		`value: (has(c.volumeMounts) ? c.volumeMounts.filter(m, m.name != '%[3]s') : []) + dyn([{'name': dyn('%[3]s'), 'mountPath': dyn('%[4]s'), 'readOnly': dyn(true)}])})`,
		path, list, tokenVolume, tokenMount)
}

// Install puts the policies into the cluster. An API server older than these policies has none: false then.
func Install(ctx context.Context, c client.Client) (bool, error) {
	for _, want := range policies() {
		have := want.DeepCopyObject().(client.Object)
		err := c.Get(ctx, client.ObjectKeyFromObject(want), have)
		switch {
		case meta.IsNoMatchError(err):
			return false, nil
		case apierrors.IsNotFound(err):
			err = client.IgnoreAlreadyExists(c.Create(ctx, want))
		case err == nil && !equality.Semantic.DeepDerivative(want, have):
			want.SetResourceVersion(have.GetResourceVersion())
			err = c.Update(ctx, want)
		}
		if err != nil {
			return false, fmt.Errorf("install policy %s: %w", want.GetName(), err)
		}
	}
	return true, nil
}
