package v1

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
)

var noon = metav1.NewTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))

func says(t *testing.T, status *conditions.Status, typ conditions.Type, state, reason, message string) {
	t.Helper()
	c := status.GetCondition(typ)
	if c == nil || string(c.Status) != state || c.Reason != reason || c.Message != message {
		t.Errorf("%s is %+v, want %s %s: %s", typ, c, state, reason, message)
	}
}

// The whole life of a first deployment, in the words that kn and kubectl show.
func TestAServiceBecomesReadyInKnativesWords(t *testing.T) {
	var service Service
	var route RouteStatus
	var configuration ConfigurationStatus
	r, c, s := route.Mark(noon), configuration.Mark(noon), service.Status.Mark(noon)
	r.Initialize()
	c.Initialize()
	s.Initialize()

	c.LatestCreated("shop-00001")
	r.ConfigurationNotReady("shop")
	s.PropagateConfiguration(&configuration)
	s.PropagateRoute(&route)
	says(t, &service.Status.Status, ServiceConditionReady, "Unknown", "RevisionMissing", `Configuration "shop" is waiting for a Revision to become ready.`)

	c.LatestReady("shop-00001")
	r.TrafficAssigned()
	r.PropagateIngress(nil)
	r.TLSNotEnabled(ExternalDomainTLSNotEnabledMessage)
	s.PropagateConfiguration(&configuration)
	s.PropagateRoute(&route)
	says(t, &service.Status.Status, ServiceConditionReady, "Unknown", "IngressNotConfigured", "Ingress has not yet been reconciled.")
	says(t, &route.Status, RouteConditionCertificateProvisioned, "True", "TLSNotEnabled", "external-domain-tls is not enabled")

	route.URL = "http://shop.default.example.com"
	r.PropagateIngress(&conditions.Condition{Status: "True"})
	s.PropagateRoute(&route)
	if !service.IsReady() || service.Status.URL != route.URL || service.Status.LatestReadyRevisionName != "shop-00001" {
		t.Errorf("not ready: %+v", service.Status)
	}
	s.RouteNotYetReady()
	says(t, &service.Status.Status, ServiceConditionReady, "Unknown", "TrafficNotMigrated", "Traffic is not yet migrated to the latest revision.")
}

func TestAMissingRevisionIsNamed(t *testing.T) {
	var route RouteStatus
	m := route.Mark(noon)
	m.Initialize()
	m.MissingTrafficTarget("Revision", "hello-canary-v1")
	says(t, &route.Status, RouteConditionReady, "False", "RevisionMissing", `Revision "hello-canary-v1" referenced in traffic not found.`)
	m.RevisionNotReady("hello-canary-v1")
	says(t, &route.Status, RouteConditionReady, "Unknown", "RevisionMissing", `Revision "hello-canary-v1" is not yet ready.`)
	m.RevisionFailed("hello-canary-v1")
	says(t, &route.Status, RouteConditionReady, "False", "RevisionMissing", `Revision "hello-canary-v1" failed to become ready.`)
	m.RevisionNotOwned("a-1", "shop", "other")
	says(t, &route.Status, RouteConditionReady, "False", "RevisionNotOwned", `Revision "a-1" belongs to Service "other", not Service "shop".`)
	m.RevisionNotOwned("a-1", "shop", "")
	says(t, &route.Status, RouteConditionReady, "False", "RevisionNotOwned", `Revision "a-1" does not belong to Service "shop".`)
}

func TestAMissingImageFailsTheRevisionAndItsConfiguration(t *testing.T) {
	var revision Revision
	m := revision.Status.Mark(noon)
	m.Initialize()
	m.ResourcesAvailableUnknown(ReasonDeploying, "")
	m.ContainerHealthyFalse(ReasonContainerMissing, ContainerMissingMessage("shop:v9", "not found: 100%"))
	says(t, &revision.Status.Status, RevisionConditionReady, "False", "ContainerMissing", `Unable to fetch image "shop:v9": not found: 100%`)
	if !revision.IsFailed() {
		t.Error("not failed")
	}
	var configuration Configuration
	c := configuration.Status.Mark(noon)
	c.LatestCreated("shop-00001")
	c.LatestCreatedFailed("shop-00001", revision.Status.GetCondition(RevisionConditionReady).Message)
	says(t, &configuration.Status.Status, ConfigurationConditionReady, "False", "RevisionFailed",
		`Revision "shop-00001" failed with message: Unable to fetch image "shop:v9": not found: 100%.`)
}

func TestARevisionAsleepIsReady(t *testing.T) {
	var revision Revision
	m := revision.Status.Mark(noon)
	m.Initialize()
	m.ResourcesAvailableTrue()
	m.ContainerHealthyTrue()
	m.ActiveFalse(ReasonNoTraffic, NoTrafficMessage)
	if !revision.IsReady() || !revision.Status.IsActivationRequired() {
		t.Errorf("%+v", revision.Status)
	}
	if c := revision.Status.GetCondition(RevisionConditionActive); c.Severity != conditions.SeverityInfo {
		t.Errorf("severity %q", c.Severity)
	}
	m.ActiveTrue()
	if revision.Status.IsActivationRequired() {
		t.Error("an active revision needs activation")
	}
	if ExitCodeReason(137) != "ExitCode137" || ContainerExitingMessage("x") != "Container failed with: x" {
		t.Error("exit code words")
	}
}

func TestWhatIsSaidOfAnOlderSpecIsNotSaidOfTheLatest(t *testing.T) {
	var configuration Configuration
	configuration.Generation = 2
	m := configuration.Status.Mark(noon)
	m.LatestCreated("shop-00001")
	m.LatestReady("shop-00001")
	if configuration.IsReady() || configuration.IsFailed() {
		t.Error("ready although the latest spec has not been looked at")
	}
	configuration.Status.ObservedGeneration = 2
	if !configuration.IsLatestReadyRevisionNameUpToDate() {
		t.Error("not up to date")
	}
	m.LatestCreated("shop-00002")
	if configuration.IsReady() || configuration.IsLatestReadyRevisionNameUpToDate() {
		t.Error("ready although the latest revision is not")
	}
}
