package serving_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// guide returns the folder of a public guide's manifests. They lie beside the repository, or where EBB_GUIDE says.
func guide(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("EBB_GUIDE")
	if folder == "" {
		folder = filepath.Join("..", "..", "shared", "guide")
	}
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("the guide's manifests are not here: %v; set EBB_GUIDE to their folder", err)
	}
	return folder
}

// guideManifests returns the documents of the guide's files whose names begin so, without those of kinds that the API server does not know.
func (r *rig) guideManifests(t *testing.T, prefixes ...string) string {
	t.Helper()
	var all []string
	for _, prefix := range prefixes {
		files, err := filepath.Glob(filepath.Join(guide(t), prefix+"*.yaml"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", prefix, files, err)
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(data), "\n---") {
			if kind, served := r.served(t, document); served {
				all = append(all, document)
			} else if kind != "" {
				t.Logf("%s: %s left out, it is not served here", filepath.Base(files[0]), kind)
			}
		}
	}
	return strings.Join(all, "\n---\n")
}

// served returns the kind of a YAML document, "" if it is empty, and whether the API server knows it.
func (r *rig) served(t *testing.T, document string) (kind string, served bool) {
	t.Helper()
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	if meta.Kind == "" {
		return "", false
	}
	gvk := meta.GroupVersionKind()
	_, err := r.api.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil && !apimeta.IsNoMatchError(err) {
		t.Fatal(err)
	}
	return gvk.String(), err == nil
}

func (r *rig) apply(t *testing.T, namespace, manifest string) {
	t.Helper()
	manifest = strings.ReplaceAll(manifest, "namespace: default", "namespace: "+namespace)
	if got := r.Kubectl(t, manifest, "apply", "-n", namespace, "-f", "-"); strings.Contains(got, "rror") || strings.Contains(got, "invalid") {
		t.Fatal(got)
	}
}

func theGuidesServicesBecomeReady(t *testing.T, r *rig) {
	ns := r.namespace(t, "guide")
	r.apply(t, ns, r.guideManifests(t, "01", "07", "08", "09", "11", "12", "13", "16", "18", "19", "20", "24"))
	for _, name := range []string{
		"hello-world", "order-service", "payment-processor", "inventory-service", "production-service", "hpa-service", "private-image-service",
		"data-processor", "optimized-service", "resource-optimized", "autoscale-optimized", "secure-service",
	} {
		r.ready(t, ns, name)
	}
	if s := r.ready(t, ns, "hello-world"); s.Status.LatestReadyRevisionName != "hello-world-v1" || s.Status.URL != "http://hello-world.guide.example.com:8080" {
		t.Errorf("%+v", s.Status)
	}
	// 14 points inventory-service to something else.
	r.apply(t, ns, r.guideManifests(t, "14"))
	for _, name := range []string{"order-api", "payment-service", "inventory-service", "shipping-service", "notification-service"} {
		r.ready(t, ns, name)
	}
	s := r.eventually(t, ns, "inventory-service", "it has a second revision", func(s *servingv1.Service) bool {
		return s.IsReady() && s.Status.LatestReadyRevisionName == "inventory-service-00002"
	})
	if s.Status.Traffic[0].RevisionName != "inventory-service-00002" {
		t.Errorf("%+v", s.Status.Traffic)
	}
	// Applied again, as people do, nothing changes.
	before := r.quiet(t, ns)
	r.apply(t, ns, r.guideManifests(t, "01", "07", "08", "11", "12", "13", "14", "16", "18", "19", "20", "24"))
	if after := r.quiet(t, ns); len(after) != len(before) {
		t.Errorf("written for nothing:\n%s", strings.Join(after[len(before):], "\n"))
	}
}

func theGuidesCanaryHeals(t *testing.T, r *rig) {
	ns := r.namespace(t, "canary")
	r.apply(t, ns, r.guideManifests(t, "02"))
	want := `False RevisionMissing: Revision "hello-canary-v1" referenced in traffic not found.`
	r.eventually(t, ns, "hello-canary", "the missing revision is told", func(s *servingv1.Service) bool {
		return condition(s, servingv1.ServiceConditionReady) == want
	})
	// As the guide has it: 01 under the canary's name, then 02.
	r.apply(t, ns, strings.ReplaceAll(r.guideManifests(t, "01"), "hello-world", "hello-canary"))
	r.ready(t, ns, "hello-canary")
	r.apply(t, ns, r.guideManifests(t, "02"))
	s := r.eventually(t, ns, "hello-canary", "traffic is split", func(s *servingv1.Service) bool {
		return s.IsReady() && len(s.Status.Traffic) == 2
	})
	if a, b := s.Status.Traffic[0], s.Status.Traffic[1]; a.RevisionName != "hello-canary-v1" || *a.Percent != 80 || b.RevisionName != "hello-canary-v2" || *b.Percent != 20 {
		t.Errorf("%+v", s.Status.Traffic)
	}
}

func aHundredServicesAtOnceBecomeReady(t *testing.T, r *rig) {
	// As in life: passing statuses are told after the default while.
	r.stop()
	r.run(0)
	t.Cleanup(func() {
		r.stop()
		r.run(coalesce)
	})
	ns := r.namespace(t, "hundred")
	const n, workers = 100, 8
	begin := time.Now()
	names := make(chan string, n)
	for i := range n {
		names <- fmt.Sprintf("shop-%d", i)
	}
	close(names)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for name := range names {
				if err := r.api.Create(t.Context(), newService(ns, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for i := range n {
		r.ready(t, ns, fmt.Sprintf("shop-%d", i))
	}
	took := time.Since(begin)
	writes := r.quiet(t, ns)
	t.Logf("%d Services ready after %v, %.1f writes each:\n%s", n, took.Round(time.Millisecond), float64(len(writes))/n, tally(writes))
	if len(writes) > 15*n {
		t.Errorf("%d writes for %d Services, at most 15 for each were promised", len(writes), n)
	}
	if again := strings.Count(strings.Join(writes, "\n"), "("); again > n/10 {
		t.Errorf("%d writes were refused: what decided them was out of date", again)
	}
}

func aRestartWritesNothing(t *testing.T, r *rig) {
	ns := r.namespace(t, "restart")
	r.create(t, newService(ns, "shop"))
	r.ready(t, ns, "shop")
	before := r.quiet(t, ns)
	r.stop()
	r.gateways.Forget(types.NamespacedName{Namespace: ns, Name: "shop"})
	r.run(coalesce)
	r.eventually(t, ns, "shop", "the gateways know it again", func(*servingv1.Service) bool { return r.gateways.get(ns, "shop") != nil })
	if after := r.quiet(t, ns); len(after) != len(before) {
		t.Errorf("written for nothing:\n%s", strings.Join(after[len(before):], "\n"))
	}
}
