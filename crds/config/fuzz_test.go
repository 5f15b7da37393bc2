package config

import (
	"strings"
	"testing"
)

// fuzz gives a parser one key and value. Whatever they are, it answers with a warning or error that names the ConfigMap and a key, or with neither.
func fuzz(f *testing.F, name string, seeds map[string]string) {
	f.Helper()
	for key, value := range seeds {
		f.Add(key, value)
	}
	parse := parsers[name]
	f.Fuzz(func(t *testing.T, key, value string) {
		if strings.Contains(value, "range") {
			t.Skip("a template may count for as long as an operator likes")
		}
		warnings, err := parse(data{key: value})
		if err != nil {
			warnings = append(warnings, err.Error())
		}
		for _, text := range warnings {
			if !strings.HasPrefix(text, ObjectName(name)+": ") {
				t.Errorf("%q names no ConfigMap", text)
			}
		}
	})
}

func FuzzParseDefaults(f *testing.F) {
	fuzz(f, DefaultsName, data{"revision-timeout-seconds": "300", "revision-cpu-limit": "100m", "container-name-template": "{{.Name}}", "enable-service-links": "default"})
}

func FuzzParseDeployment(f *testing.F) {
	fuzz(f, DeploymentName, data{"progress-deadline": "600s", "runtime-class-name": "kata: {selector: {a: b}}", "registries-skipping-tag-resolving": "a,b"})
}

func FuzzParseDomain(f *testing.F) {
	fuzz(f, DomainName, data{"example.com": "", "example.org": "selector:\n  app: shop\n"})
}

func FuzzParseFeatures(f *testing.F) {
	fuzz(f, FeaturesName, data{"multi-container": "enabled", "secure-pod-defaults": "AllowRootBounded"})
}

func FuzzParseGC(f *testing.F) {
	fuzz(f, GCName, data{"retain-since-create-time": "48h", "max-non-active-revisions": "disabled"})
}

func FuzzParseLeaderElection(f *testing.F) {
	fuzz(f, LeaderElectionName, data{"lease-duration": "60s", "buckets": "10", "map-lease-prefix.a": "b"})
}

func FuzzParseLogging(f *testing.F) {
	fuzz(f, LoggingName, data{"zap-logger-config": `{"level": "info"}`, "loglevel.controller": "debug"})
}

func FuzzParseNetwork(f *testing.F) {
	fuzz(f, NetworkName, data{"domain-template": DefaultDomainTemplate, "tag-template": DefaultTagTemplate, "ingress.class": "a", "namespace-wildcard-cert-selector": "{}"})
}

func FuzzParseObservability(f *testing.F) {
	fuzz(f, ObservabilityName, data{"metrics-protocol": "prometheus", "logging.request-log-template": DefaultRequestLogTemplate, "tracing-sampling-rate": "1"})
}
