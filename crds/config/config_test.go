package config

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
)

type data = map[string]string

// parsers are all of them behind one signature.
var parsers = map[string]func(data) ([]string, error){
	DefaultsName:       func(d data) ([]string, error) { _, w, err := ParseDefaults(d); return w, err },
	DeploymentName:     func(d data) ([]string, error) { _, w, err := ParseDeployment(d); return w, err },
	DomainName:         func(d data) ([]string, error) { _, w, err := ParseDomain(d, "cluster.local"); return w, err },
	FeaturesName:       func(d data) ([]string, error) { _, w, err := ParseFeatures(d); return w, err },
	GCName:             func(d data) ([]string, error) { _, w, err := ParseGC(d); return w, err },
	LeaderElectionName: func(d data) ([]string, error) { _, w, err := ParseLeaderElection(d); return w, err },
	LoggingName:        func(d data) ([]string, error) { _, w, err := ParseLogging(d); return w, err },
	NetworkName:        func(d data) ([]string, error) { _, w, err := ParseNetwork(d); return w, err },
	ObservabilityName:  func(d data) ([]string, error) { _, w, err := ParseObservability(d); return w, err },
}

func TestABadValueIsRefusedWithItsKeyAndARemedy(t *testing.T) {
	for _, c := range []struct {
		name, key, value, remedy string
	}{
		{DefaultsName, "revision-timeout-seconds", "soon", `write one such as "10"`},
		{DefaultsName, "revision-timeout-seconds", "601", "raise the maximum"},
		{DefaultsName, "revision-response-start-timeout-seconds", "301", "raise the timeout"},
		{DefaultsName, "revision-idle-timeout-seconds", "-1", "0 (no limit)"},
		{DefaultsName, "container-concurrency", "1001", "container-concurrency-max-limit (1000)"},
		{DefaultsName, "container-concurrency-max-limit", "0", "at least 1"},
		{DefaultsName, "allow-container-concurrency-zero", "maybe", `"true" or "false"`},
		{DefaultsName, "revision-cpu-request", "much", "128Mi"},
		{DefaultsName, "container-name-template", "{{.Nome}}", "{{.Name}}"},
		{DefaultsName, "init-container-name-template", "{{", "init-container"},
		{DefaultsName, "enable-service-links", "perhaps", `"default"`},
		{DeploymentName, "progress-deadline", "1500ms", "whole seconds"},
		{DeploymentName, "digest-resolution-timeout", "0s", "more than 0s"},
		{DeploymentName, "default-affinity-type", "together", "prefer-spread-revision-over-nodes"},
		{DeploymentName, "queue-sidecar-memory-limit", "much", "quantity"},
		{DeploymentName, "queue-sidecar-tls-min-version", "1.1", `"1.2"`},
		{DeploymentName, "runtime-class-name", "- a", "write YAML"},
		{DeploymentName, "runtime-class-name", "Not_A_Name: {}", "no name of a runtime class"},
		{DeploymentName, "runtime-class-name", "kata: {selector: {a b: c}}", `selector of "kata"`},
		{DomainName, "Not_A_Domain", "", "is no domain"},
		{DomainName, "example.com", "selector: [a]", "write YAML"},
		{DomainName, "example.com", "selector: {a b: c}", "selector is wrong"},
		{FeaturesName, "multi-container", "maybe", `"Enabled", "Allowed", "Disabled"`},
		{FeaturesName, "secure-pod-defaults", "Allowed", `"AllowRootBounded"`},
		{GCName, "retain-since-create-time", "-1h", `or "disabled"`},
		{GCName, "max-non-active-revisions", "-1", `or "disabled"`},
		{GCName, "min-non-active-revisions", "1001", "raise the maximum"},
		{LeaderElectionName, "buckets", "11", "from 1 to 10"},
		{LeaderElectionName, "renew-deadline", "12s", "1.2 times retry-period"},
		{LeaderElectionName, "lease-duration", "40s", "more than renew-deadline"},
		{LeaderElectionName, "retry-period", "0s", "more than 0s"},
		{LoggingName, "loglevel.controller", "loud", `"debug"`},
		{LoggingName, "zap-logger-config", "loud", `{"level": "info"}`},
		{NetworkName, "rollout-duration", "-1", `"0" for at once`},
		{NetworkName, "domain-template", "{{.Nome}}", DefaultDomainTemplate},
		{NetworkName, "domain-template", "{{.Name}}/{{.Domain}}", "it has a path"},
		{NetworkName, "domain-template", "{{if false}}a{{end}}", "it is empty"},
		{NetworkName, "domain-template", `{{printf "%02000d" 1}}`, "more than 1024 bytes"},
		{NetworkName, "tag-template", "{{.Tags}}", DefaultTagTemplate},
		{NetworkName, "external-domain-tls", "yes", `"Enabled", "Disabled"`},
		{NetworkName, "http-protocol", "h3", `"Redirected"`},
		{NetworkName, "namespace-wildcard-cert-selector", "{matchExpressions: [{key: a, operator: Near}]}", "{} for all namespaces"},
		{NetworkName, "ingress-class", "", "remove the key"},
		{ObservabilityName, "metrics-protocol", "carrier-pigeon", `"prometheus"`},
		{ObservabilityName, "metrics-endpoint", "http://a", "remove it or choose a protocol"},
		{ObservabilityName, "tracing-sampling-rate", "NaN", `"0" (none)`},
		{ObservabilityName, "logging.request-log-template", "{{", "for the default"},
		{ObservabilityName, "request-metrics-export-interval", "-1s", "not be negative"},
	} {
		_, err := parsers[c.name](data{c.key: c.value})
		if err == nil {
			t.Errorf("%s: %s: %q is accepted", c.name, c.key, c.value)
			continue
		}
		prefix := "ConfigMap knative-serving/" + c.name + ": " + c.key + ": "
		if text := err.Error(); !strings.HasPrefix(text, prefix) && !strings.Contains(text, "\n"+prefix) || !strings.Contains(text, c.remedy) {
			t.Errorf("%q: want it to start with %q and to say %q", err, prefix, c.remedy)
		}
	}
}

func TestAnEndpointIsNamedWhereItIsNeeded(t *testing.T) {
	_, err := parsers[ObservabilityName](data{"tracing-protocol": "grpc"})
	if err == nil || !strings.Contains(err.Error(), "tracing-endpoint: is missing") {
		t.Errorf("got %v", err)
	}
	o, _, err := ParseObservability(data{"tracing-protocol": "HTTP/Protobuf", "tracing-endpoint": "http://a", "tracing-sampling-rate": "0.5"})
	if err != nil || o.Tracing != (Export{Protocol: ProtocolHTTPProtobuf, Endpoint: "http://a"}) || o.TracingSamplingRate != 0.5 {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestAllBadValuesAreToldAtOnce(t *testing.T) {
	_, err := parsers[DefaultsName](data{"container-concurrency": "x", "revision-cpu-limit": "y"})
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("want two lines, got %v", err)
	}
}

func TestUnknownKeysWarnAndExamplesDoNot(t *testing.T) {
	for name, parse := range parsers {
		if name == DomainName {
			continue // every key is a domain
		}
		warnings, err := parse(data{"colour": "blue", "_example": "colour: blue"})
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "knative-serving/"+name+": colour: unknown key") {
			t.Errorf("%s: warnings %q, error %v", name, warnings, err)
		}
	}
	warnings, _ := parsers[NetworkName](data{"httpprotocol": "Enabled"})
	if len(warnings) != 1 || !strings.HasSuffix(warnings[0], "did you mean http-protocol?") {
		t.Errorf("warnings %q", warnings)
	}
}

func TestAnOlderNameWorksAndTheCurrentOneCounts(t *testing.T) {
	n, warnings, err := ParseNetwork(data{"ingress.class": "kourier.ingress.networking.knative.dev", "domainTemplate": "{{.Name}}.{{.Domain}}"})
	if err != nil || n.IngressClass != "kourier.ingress.networking.knative.dev" || len(warnings) != 2 {
		t.Errorf("class %q, warnings %q, error %v", n.IngressClass, warnings, err)
	}
	n, warnings, err = ParseNetwork(data{"ingress.class": "kourier.ingress.networking.knative.dev", "ingress-class": "istio.ingress.networking.knative.dev"})
	if err != nil || n.IngressClass != "istio.ingress.networking.knative.dev" || len(warnings) != 1 {
		t.Errorf("class %q, warnings %q, error %v", n.IngressClass, warnings, err)
	}
}

func TestEbbServesTheClassesItStandsInForUnlessToldNotTo(t *testing.T) {
	n, _, err := ParseNetwork(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{"ebb", "kourier", "istio", "contour", "gateway-api"} {
		if !n.ServesIngressClass(class + ".ingress.networking.knative.dev") {
			t.Errorf("%s is not served", class)
		}
	}
	n, warnings, err := ParseNetwork(data{"ebb-ingress-classes": " ebb.ingress.networking.knative.dev ,", "ingress-class": "istio.ingress.networking.knative.dev"})
	if err != nil || n.ServesIngressClass("istio.ingress.networking.knative.dev") || !n.ServesIngressClass("ebb.ingress.networking.knative.dev") {
		t.Errorf("classes %q, error %v", n.ServedIngressClasses, err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "not served by Ebb") {
		t.Errorf("warnings %q", warnings)
	}
}

func TestTLSKeysOfAllTimes(t *testing.T) {
	for name, c := range map[string]struct {
		data                      data
		external, local, internal bool
	}{
		"none":             {nil, false, false, false},
		"all":              {data{"external-domain-tls": "enabled", "cluster-local-domain-tls": "Enabled", "system-internal-tls": "ENABLED"}, true, true, true},
		"auto-tls":         {data{"auto-tls": "Enabled", "internal-encryption": "true"}, true, false, true},
		"current counts":   {data{"auto-tls": "Enabled", "external-domain-tls": "Disabled"}, false, false, false},
		"the oldest":       {data{"autoTLS": "Enabled"}, true, false, false},
		"internal, denied": {data{"internal-encryption": "true", "system-internal-tls": "Disabled"}, false, false, false},
	} {
		n, _, err := ParseNetwork(c.data)
		if err != nil || n.ExternalDomainTLS != c.external || n.ClusterLocalDomainTLS != c.local || n.SystemInternalTLS != c.internal {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
	n, _, err := ParseNetwork(data{"namespace-wildcard-cert-selector": "{}"})
	if err != nil || !n.NamespaceWildcardCertSelector.Matches(labels.Set{"any": "thing"}) {
		t.Errorf("{} does not select all: %v, %v", n, err)
	}
}

func TestTemplatesMakeHosts(t *testing.T) {
	n, _, err := ParseNetwork(data{
		"domain-template": `{{.Name}}-{{.Namespace}}{{with index .Annotations "sub"}}.{{.}}{{end}}.{{.Domain}}`, "tag-template": "{{.Name}}-{{.Tag}}"})
	if err != nil {
		t.Fatal(err)
	}
	tagged, err := n.Tag(TagValues{Name: "shop", Tag: "blue"})
	if err != nil {
		t.Fatal(err)
	}
	host, err := n.Domain(DomainValues{Name: tagged, Namespace: "default", Domain: "example.com", Annotations: data{"sub": "eu"}})
	if err != nil || host != "shop-blue-default.eu.example.com" {
		t.Errorf("%q, %v", host, err)
	}
}

func TestTheMostSpecificDomainWins(t *testing.T) {
	d, _, err := ParseDomain(data{"example.com": "", "b.example.org": "selector: {app: shop}", "a.example.org": "selector: {app: shop}", "eu.example.org": "selector: {app: shop, at: eu}"}, "cluster.local")
	if err != nil {
		t.Fatal(err)
	}
	for want, route := range map[string]data{
		"example.com":       nil,
		"a.example.org":     {"app": "shop"},
		"eu.example.org":    {"app": "shop", "at": "eu", "more": "labels"},
		"svc.cluster.local": {"app": "shop", "networking.knative.dev/visibility": "cluster-local"},
	} {
		if got := d.For(route); got != want {
			t.Errorf("labels %v: %s, want %s", route, got, want)
		}
	}
	none, _, err := ParseDomain(data{"example.org": "selector: {app: shop}", "_example": "x"}, "cluster.local")
	if err != nil || none.For(nil) != "svc.cluster.local" || !none.IsClusterLocal("shop.default.svc.cluster.local") || none.IsClusterLocal("xsvc.cluster.local") {
		t.Errorf("without a default: %q, %v", none.For(nil), err)
	}
}

func TestDefaultsAreKnatives(t *testing.T) {
	s := NewSet("cluster.local")
	d := s.Defaults
	if d.RevisionTimeoutSeconds != 300 || d.MaxRevisionTimeoutSeconds != 600 || d.RevisionResponseStartTimeoutSeconds != 300 || d.RevisionIdleTimeoutSeconds != 0 ||
		d.ContainerConcurrency != 0 || d.ContainerConcurrencyMaxLimit != 1000 || !d.AllowContainerConcurrencyZero || ptr.Deref(d.EnableServiceLinks, true) {
		t.Errorf("config-defaults: %+v", d)
	}
	if got := d.UserContainerName(metav1.ObjectMeta{Name: "shop"}) + d.InitContainerName(metav1.ObjectMeta{}); got != "user-containerinit-container" {
		t.Errorf("names %q", got)
	}
	if g := *s.GC; g != (GC{48 * time.Hour, 15 * time.Hour, 20, 1000}) {
		t.Errorf("config-gc: %+v", g)
	}
	if p := s.Deployment; p.ProgressDeadline != 600*time.Second || p.DigestResolutionTimeout != 10*time.Second || p.SidecarCPURequest.String() != "25m" ||
		p.SidecarMemoryRequest != nil || p.Affinity != AffinityPreferSpread || p.RuntimeClass(nil) != nil {
		t.Errorf("config-deployment: %+v", p)
	}
	for feature := range features {
		if want := feature == MultiContainer || feature == PodSpecVolumesEmptyDir; s.Features.Enabled(feature) != want {
			t.Errorf("%s enabled: %v", feature, !want)
		}
	}
	if l := s.LeaderElection; l.Buckets != 1 || l.LeaseDuration != time.Minute || l.RenewDeadline != 40*time.Second || l.RetryPeriod != 10*time.Second {
		t.Errorf("config-leader-election: %+v", l)
	}
	if o := s.Observability; o.Metrics.Protocol != ProtocolNone || o.Profiling || o.RequestLog || o.RevisionLogURL("u") != "" {
		t.Errorf("config-observability: %+v", o)
	}
}

func TestTheResponseStartsWithinTheTimeoutUnlessSaidOtherwise(t *testing.T) {
	d, _, err := ParseDefaults(data{"revision-timeout-seconds": "120"})
	if err != nil || d.RevisionResponseStartTimeoutSeconds != 120 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestDisabledLimitsAreNoLimits(t *testing.T) {
	g, _, err := ParseGC(data{"retain-since-create-time": "disabled", "retain-since-last-active-time": "Disabled", "max-non-active-revisions": "disabled", "min-non-active-revisions": "5"})
	if err != nil || *g != (GC{NoLimit, NoLimit, 5, NoLimit}) {
		t.Errorf("%+v, %v", g, err)
	}
	g, _, err = ParseGC(data{"max-non-active-revisions": "10"})
	if err != nil || g.MinNonActiveRevisions != 10 {
		t.Errorf("a maximum below the default minimum: %+v, %v", g, err)
	}
}

func TestLevelsAreTheComponentsOrEverybodys(t *testing.T) {
	l, _, err := ParseLogging(data{"zap-logger-config": `{"level": "warn", "encoding": "json"}`, "loglevel.controller": "DEBUG", "loglevel.webhook": ""})
	if err != nil || l.For("controller") != slog.LevelDebug || l.For("webhook") != slog.LevelWarn || l.For("autoscaler") != slog.LevelWarn {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestRuntimeClassesFollowTheRevisionsLabels(t *testing.T) {
	d, _, err := ParseDeployment(data{"runtime-class-name": "kata: {}\ngvisor: {selector: {sandbox: \"yes\"}}\n\"\": {selector: {plain: \"yes\"}}"})
	if err != nil {
		t.Fatal(err)
	}
	for want, revision := range map[string]data{"kata": nil, "gvisor": {"sandbox": "yes"}} {
		if got := ptr.Deref(d.RuntimeClass(revision), ""); got != want {
			t.Errorf("labels %v: %q, want %q", revision, got, want)
		}
	}
	if got := d.RuntimeClass(data{"plain": "yes"}); got != nil {
		t.Errorf("the cluster's own is %q", *got)
	}
}

func TestTheAutoscalerKnowsTheProgressDeadline(t *testing.T) {
	s, _, err := NewSet("cluster.local").With(DeploymentName, data{"progress-deadline": "90s"})
	if err != nil || s.Autoscaler.ProgressDeadline != 90*time.Second {
		t.Errorf("%+v, %v", s.Autoscaler, err)
	}
	s, _, err = s.With("config-autoscaler", data{"stable-window": "30s"})
	if err != nil || s.Autoscaler.ProgressDeadline != 90*time.Second || s.Autoscaler.StableWindow != 30*time.Second {
		t.Errorf("%+v, %v", s.Autoscaler, err)
	}
}

func TestAChangeMakesANewSet(t *testing.T) {
	before := NewSet("cluster.local")
	after, _, err := before.With(DefaultsName, data{"container-concurrency": "7"})
	if err != nil || before.Defaults.ContainerConcurrency != 0 || after.Defaults.ContainerConcurrency != 7 {
		t.Errorf("before %d, after %d, %v", before.Defaults.ContainerConcurrency, after.Defaults.ContainerConcurrency, err)
	}
	if same, _, err := before.With("somebody-elses", data{"a": "b"}); err != nil || !cmp.Equal(same.Defaults == before.Defaults, true) {
		t.Error("a ConfigMap that is not ours changes something")
	}
}

// The checksums are those that Knative's own ConfigMaps carry.
func TestExampleChecksumsAreKnatives(t *testing.T) {
	for sum, example := range map[string]string{
		"067d4f7d": "\n  a: b\n\n\nc: d\r\n\r\ne: f\n",
	} {
		if got := ExampleChecksum(example); got != sum {
			t.Errorf("checksum %s, want %s", got, sum)
		}
	}
}
