package validation

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/serving"
	v1 "ebb.dev/ebb/crds/serving/v1"
)

func TestTrafficAddsUpToAHundred(t *testing.T) {
	const tr = "spec.traffic"
	run(t, []example{
		{name: "none is all to the latest", manifest: container("")},
		{name: "a split", manifest: trafficOf("{revisionName: shop-1, percent: 80}, {percent: 20, tag: next}")},
		{name: "too much", manifest: trafficOf("{revisionName: shop-1, percent: 30}, {percent: 80}, {tag: next}"), want: []string{tr + "[1].percent: 30 + 80 = 110, must add up to 100"}},
		{name: "one share", manifest: trafficOf("{percent: 99}"), want: []string{tr + "[0].percent: 99, must add up to 100"}},
		{name: "none has a share", manifest: trafficOf("{}"), want: []string{tr + "[0].percent: 0, must add up to 100"}},
		{name: "out of range", manifest: trafficOf("{percent: 101}, {revisionName: a, percent: -1}"), want: []string{tr + "[0].percent: from 0 to 100", tr + "[1].percent: from 0 to 100"}},
		{name: "two with one tag", manifest: trafficOf("{percent: 100, tag: a}, {revisionName: b, tag: a}"), want: []string{tr + "[1].tag: Duplicate"}},
		{name: "no tag", manifest: trafficOf("{percent: 100, tag: '1.0'}"), want: []string{tr + "[0].tag: not a DNS 1035 label"}},
		{name: "latest and not", manifest: trafficOf("{percent: 50, revisionName: a, latestRevision: true}, {percent: 50, latestRevision: false}"),
			want: []string{tr + "[0].latestRevision: leave out latestRevision", tr + "[1].latestRevision: leave out latestRevision"}},
		{name: "another configuration", manifest: trafficOf("{percent: 100, configurationName: other}"), want: []string{tr + "[0].configurationName: must not be set in a Service"}},
		{name: "a URL", manifest: trafficOf("{percent: 100, url: 'http://a'}"), want: []string{tr + "[0].url: must not be set"}},
		{name: "no revision's name", manifest: trafficOf("{percent: 100, revisionName: 'a b'}"), want: []string{tr + "[0].revisionName: is no name"}},
	})
}

func TestARouteNamesItsTargets(t *testing.T) {
	set := cluster(t, nil, nil)
	for name, c := range map[string]struct {
		target v1.TrafficTarget
		want   []string
	}{
		"a revision":      {v1.TrafficTarget{RevisionName: "a"}, nil},
		"a configuration": {v1.TrafficTarget{ConfigurationName: "a"}, nil},
		"both":            {v1.TrafficTarget{RevisionName: "a", ConfigurationName: "b"}, []string{"spec.traffic[0].configurationName: beside revisionName"}},
		"neither":         {v1.TrafficTarget{}, []string{"spec.traffic[0]: revisionName or configurationName"}},
	} {
		c.target.Percent = ptr.To[int64](100)
		rt := &v1.Route{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: v1.RouteSpec{Traffic: []v1.TrafficTarget{c.target}}}
		t.Run(name, func(t *testing.T) { expect(t, c.want, Route(rt, nil, set).Errors) })
	}
}

func TestTimeoutsAndConcurrencyKeepTheClustersBounds(t *testing.T) {
	const spec = "spec.template.spec"
	run(t, []example{
		{name: "at the most", manifest: podOf("containers: [{image: a}], timeoutSeconds: 600, containerConcurrency: 1000")},
		{name: "beyond", manifest: podOf("containers: [{image: a}], timeoutSeconds: 601, containerConcurrency: 1001"),
			want: []string{spec + ".timeoutSeconds: 600", spec + ".containerConcurrency: 1000"}},
		{name: "raised", manifest: podOf("containers: [{image: a}], timeoutSeconds: 601, containerConcurrency: 1001"),
			defaults: map[string]string{"max-revision-timeout-seconds": "700", "container-concurrency-max-limit": "2000"}},
		{name: "negative", manifest: podOf("containers: [{image: a}], timeoutSeconds: -1, containerConcurrency: -1, idleTimeoutSeconds: -1, responseStartTimeoutSeconds: -1"),
			want: []string{spec + ".timeoutSeconds: ", spec + ".containerConcurrency: ", spec + ".idleTimeoutSeconds: ", spec + ".responseStartTimeoutSeconds: "}},
		{name: "a limit is a must", manifest: podOf("containers: [{image: a}], containerConcurrency: 0"),
			defaults: map[string]string{"allow-container-concurrency-zero": "false"}, want: []string{spec + ".containerConcurrency: from 1"}},
		{name: "a timeout that never comes", manifest: podOf("containers: [{image: a}], timeoutSeconds: 10, responseStartTimeoutSeconds: 20")},
	})
}

func TestTheTemplatesNameAndAnnotations(t *testing.T) {
	const meta = "spec.template.metadata"
	run(t, []example{
		{name: "a name", manifest: templateMeta("name: shop-blue")},
		{name: "another's name", manifest: templateMeta("name: other-blue"), want: []string{meta + `.name: must have prefix "shop-"`}},
		{name: "no name", manifest: templateMeta("name: shop-B"), want: []string{meta + ".name: not a DNS 1035 label"}},
		{name: "no prefix", manifest: templateMeta("generateName: Shop-"), want: []string{meta + ".generateName: not a DNS 1035 label"}},
		{name: "both spellings", manifest: templateMeta(`annotations: {autoscaling.knative.dev/min-scale: "1", autoscaling.knative.dev/maxScale: "10"}`)},
		{name: "a wrong scale", manifest: templateMeta(`annotations: {autoscaling.knative.dev/minScale: some}`),
			want: []string{meta + ".annotations[autoscaling.knative.dev/minScale]: whole number"}},
		{name: "deadline", manifest: templateMeta(`annotations: {serving.knative.dev/progress-deadline: 1500ms}`),
			want: []string{meta + ".annotations[serving.knative.dev/progress-deadline]: whole seconds"}},
		{name: "sidecar", manifest: templateMeta(`annotations: {queue.sidecar.serving.knative.dev/cpu-resource-request: some, queue.sidecar.serving.knative.dev/memory-resource-limit: 64Mi}`),
			want: []string{meta + ".annotations[queue.sidecar.serving.knative.dev/cpu-resource-request]: must be a quantity"}},
		{name: "a replica's own proxy", manifest: templateMeta(`annotations: {ebb.dev/replica-proxy: sidecar}`)},
		{name: "the node's proxy", manifest: templateMeta(`annotations: {ebb.dev/replica-proxy: node}`)},
		{name: "a proxy elsewhere", manifest: templateMeta(`annotations: {ebb.dev/replica-proxy: cloud}`),
			want: []string{meta + `.annotations[ebb.dev/replica-proxy]: supported values: "node", "sidecar"`}},
		{name: "no proxy", manifest: templateMeta(`annotations: {ebb.dev/replica-proxy: ""}`),
			want: []string{meta + `.annotations[ebb.dev/replica-proxy]: supported values: "node", "sidecar"`}},
		{name: "percentage", manifest: templateMeta(`annotations: {queue.sidecar.serving.knative.dev/resourcePercentage: "200"}`),
			want: []string{meta + ".annotations[queue.sidecar.serving.knative.dev/resourcePercentage]: percentage"}},
		{name: "networking", manifest: templateMeta(`annotations: {networking.knative.dev/ingress-class: a, networking.knative.dev/colour: blue}`),
			want: []string{meta + ".annotations[networking.knative.dev/colour]: is no annotation of networking.knative.dev"}},
		{name: "answered later", manifest: `{metadata: {annotations: {async.knative.dev/mode: sometimes, async.ebb.dev/timeout: 20m, async.ebb.dev/retry: "-1"}}, spec: {template: {spec: {containers: [{image: a}]}}}}`,
			want: []string{"metadata.annotations[async.ebb.dev/retry]: whole number", "metadata.annotations[async.knative.dev/mode]: supported values"}},
		{name: "long calls", manifest: templateMeta(`annotations: {async.ebb.dev/timeout: 2h}`)},
		{name: "calls that never end", manifest: templateMeta(`annotations: {async.ebb.dev/timeout: 48h}`),
			want: []string{meta + ".annotations[async.ebb.dev/timeout]: must be a duration"}},
		{name: "a policy in the wrong place", manifest: templateMeta(`annotations: {async.ebb.dev/retry: "3"}`),
			want: []string{meta + ".annotations[async.ebb.dev/retry]: belongs to the annotations of the Service"}},
		{name: "rollout", manifest: `{metadata: {annotations: {serving.knative.dev/rollout-duration: "10.5s"}}, spec: {template: {spec: {containers: [{image: a}]}}}}`,
			want: []string{"metadata.annotations[serving.knative.dev/rollout-duration]: whole seconds"}},
		{name: "rollout, older spelling", manifest: `{metadata: {annotations: {serving.knative.dev/rolloutDuration: 120s}}, spec: {template: {spec: {containers: [{image: a}]}}}}`},
	})
}

func TestNamesAreLabelsOfHosts(t *testing.T) {
	set := cluster(t, nil, nil)
	for name, want := range map[string][]string{
		"shop":                  nil,
		"1shop":                 {"metadata.name: not a DNS 1035 label"},
		"shop.front":            {"metadata.name: not a DNS 1035 label"},
		strings.Repeat("s", 64): {"metadata.name: not a DNS 1035 label"},
		"":                      {"metadata.name: give a name"},
	} {
		s := service(t, set, container(""))
		s.Name = name
		t.Run(name, func(t *testing.T) { expect(t, want, Service(s, nil, set).Errors) })
	}
	s := service(t, set, templateMeta("name: shop-blue"))
	s.Name, s.GenerateName = "", "shop-"
	expect(t, []string{"spec.template.metadata.name: beside a generateName"}, Service(s, nil, set).Errors)
}

func TestAGivenNameStandsForOneRevision(t *testing.T) {
	set := cluster(t, nil, nil)
	old := service(t, set, templateMeta("name: shop-blue"))
	changed := func(edit func(*v1.Service)) *v1.Service {
		s := old.DeepCopy()
		edit(s)
		return s
	}
	image := func(s *v1.Service) { s.Spec.Template.Spec.Containers[0].Image = "shop:v2" }
	const name = "spec.template.metadata.name: "
	for _, c := range []struct {
		name string
		new  *v1.Service
		want []string
	}{
		{"unchanged", old, nil},
		{"traffic", changed(func(s *v1.Service) { s.Spec.Traffic[0].Tag = "now" }), nil},
		{"the image", changed(image), []string{name + `the template has changed (spec.containers[0].image: was "shop", is "shop:v2"); give it a new name`}},
		{"the image and the name", changed(func(s *v1.Service) { image(s); s.Spec.Template.Name = "shop-green" }), nil},
		{"the image without a name", changed(func(s *v1.Service) { image(s); s.Spec.Template.Name = "" }), nil},
		{"the image, as a user writes it", changed(func(s *v1.Service) {
			s.Spec.Template.Spec = v1.RevisionSpec{}
			s.Spec.Template.Spec.Containers = append(s.Spec.Template.Spec.Containers, old.Spec.Template.Spec.Containers[0])
			s.Spec.Template.Spec.Containers[0].ReadinessProbe = nil
			image(s)
		}), []string{name + `(spec.containers[0].image: was "shop", is "shop:v2"); give`}},
	} {
		t.Run(c.name, func(t *testing.T) { expect(t, c.want, Service(c.new, old, set).Errors) })
	}
}

func TestSignaturesAreTheSystems(t *testing.T) {
	set := cluster(t, nil, nil)
	old := service(t, set, container(""))
	forged := old.DeepCopy()
	forged.Annotations[serving.CreatorAnnotationKey] = "mallory"
	forged.Annotations[serving.LastModifierAnnotationKey] = "mallory"
	expect(t, []string{
		`metadata.annotations[serving.knative.dev/creator]: annotation value is immutable; keep "alice"`,
		`metadata.annotations[serving.knative.dev/lastModifier]: keep "alice"`,
	}, Service(forged, old, set).Errors)
}

func TestARevisionDoesNotChange(t *testing.T) {
	set := cluster(t, nil, nil)
	spec := service(t, set, container("")).Spec.Template.Spec
	old := &v1.Revision{ObjectMeta: metav1.ObjectMeta{Name: "shop-1"}, Spec: spec}
	changed := old.DeepCopy()
	changed.Labels = map[string]string{"a": "b"}
	expect(t, nil, Revision(changed, old, set).Errors)
	changed.Spec.TimeoutSeconds = ptr.To[int64](1)
	expect(t, []string{"spec: must not change (timeoutSeconds: was 300, is 1)"}, Revision(changed, old, set).Errors)
}

func TestLabelsThatClaimAnOwnerNeedOne(t *testing.T) {
	set := cluster(t, nil, nil)
	template := service(t, set, container("")).Spec.Template
	claims := func(key string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: "shop", Labels: map[string]string{key: "shop"}}
	}
	owned := func(key, kind string) metav1.ObjectMeta {
		meta := claims(key)
		meta.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: "shop"}}
		return meta
	}
	configuration := func(meta metav1.ObjectMeta) field.ErrorList {
		return Configuration(&v1.Configuration{ObjectMeta: meta, Spec: v1.ConfigurationSpec{Template: template}}, nil, set).Errors
	}
	revision := func(meta metav1.ObjectMeta) field.ErrorList {
		return Revision(&v1.Revision{ObjectMeta: meta, Spec: template.Spec}, nil, set).Errors
	}
	expect(t, []string{"metadata.labels[serving.knative.dev/service]: must name the Service that owns this"}, configuration(claims(serving.ServiceLabelKey)))
	expect(t, nil, configuration(owned(serving.ServiceLabelKey, "Service")))
	expect(t, []string{"metadata.labels[serving.knative.dev/configuration]: must name the Configuration that owns this"}, revision(claims(serving.ConfigurationLabelKey)))
	expect(t, nil, revision(owned(serving.ConfigurationLabelKey, "Configuration")))
}

func TestWarningsSayWhatIsLikelyNotMeant(t *testing.T) {
	set := cluster(t, nil, nil)
	for name, c := range map[string]struct{ manifest, want string }{
		"insecure defaults":  {container(""), "containers[0].securityContext.capabilities, spec.template.spec.containers[0].securityContext.runAsNonRoot"},
		"a dead timeout":     {podOf("containers: [{image: a}], timeoutSeconds: 10, idleTimeoutSeconds: 20"), "idleTimeoutSeconds: 20 has no effect"},
		"an unknown key":     {templateMeta(`annotations: {autoscaling.knative.dev/min-scales: "1"}`), "annotations[autoscaling.knative.dev/min-scales]: unknown key"},
		"lower case all":     {container("securityContext: {capabilities: {drop: [all]}}"), "must be spelled as 'ALL'"},
		"a visibility":       {"{metadata: {labels: {networking.knative.dev/visibility: private}}, spec: {template: {spec: {containers: [{image: a}]}}}}", `"private" has no effect`},
		"deprecated percent": {templateMeta(`annotations: {queue.sidecar.serving.knative.dev/resource-percentage: "20"}`), "deprecated"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Service(service(t, set, c.manifest), nil, set)
			expect(t, nil, got.Errors)
			if !strings.Contains(strings.Join(got.Warnings, "\n"), c.want) {
				t.Errorf("warnings %q, want %q", got.Warnings, c.want)
			}
		})
	}
	quiet := cluster(t, map[string]string{"secure-pod-defaults": "Enabled"}, nil)
	if got := Service(service(t, quiet, container("")), nil, quiet); len(got.Warnings) > 0 {
		t.Errorf("a secure pod gives warnings: %q", got.Warnings)
	}
}
