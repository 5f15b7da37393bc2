package writes

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"ebb.dev/ebb/test/bench/report"
	"ebb.dev/ebb/test/bench/testbed"
)

// mostWrites is how many writes by Ebb a Service may cost.
const mostWrites = 15

// Count is how often something of one kind was written.
type Count struct {
	Method   string  `json:"method"`
	Resource string  `json:"resource"`
	Each     float64 `json:"perService"`
}

// Result of a run.
type Result struct {
	Services int `json:"services"`
	// Ebb has the control plane's writes, Everybody those the API server saw.
	Ebb, Everybody []Count
}

// settle is how long is waited after the last Service is ready: what is written late is written for it too.
const settle = 5 * time.Second

// Measure makes services and counts until all is quiet.
func Measure(ctx context.Context, bed *testbed.Bed, n int) (Result, error) {
	var r Result
	ebb, everybody, err := read(ctx, bed)
	if err != nil {
		return r, err
	}
	var services []testbed.Service
	for i := range n {
		services = append(services, testbed.Service{Name: fmt.Sprintf("written-%d", i)})
	}
	if err := bed.Create(ctx, services...); err != nil {
		return r, err
	}
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return r, context.Cause(ctx)
	}
	ebbAfter, everybodyAfter, err := read(ctx, bed)
	if err != nil {
		return r, err
	}
	return Result{Services: n, Ebb: difference(ebb, ebbAfter, n), Everybody: difference(everybody, everybodyAfter, n)}, nil
}

type kind struct{ method, resource string }

func read(ctx context.Context, bed *testbed.Bed) (ebb, everybody map[kind]float64, err error) {
	var text string
	if err := bed.Debug(ctx, "/metrics", &text); err != nil {
		return nil, nil, err
	}
	if ebb, err = parse(text, "ebb_api_writes_total"); err != nil {
		return nil, nil, err
	}
	data, err := bed.Kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("the API server's metrics: %w", err)
	}
	everybody, err = parse(string(data), "apiserver_request_total")
	return ebb, everybody, err
}

// parse adds up a counter's changing requests by method and resource.
func parse(text, name string) (map[kind]float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	out := map[kind]float64{}
	for _, metric := range families[name].GetMetric() {
		labels := map[string]string{}
		for _, pair := range metric.GetLabel() {
			labels[pair.GetName()] = pair.GetValue()
		}
		k := kind{cmp.Or(labels["method"], labels["verb"]), labels["resource"]}
		if sub := labels["subresource"]; sub != "" {
			k.resource += "/" + sub
		}
		switch k.method {
		case "GET", "LIST", "WATCH", "CONNECT", "HEAD", "OPTIONS":
		default:
			out[k] += metric.GetCounter().GetValue()
		}
	}
	return out, nil
}

func difference(before, after map[kind]float64, n int) []Count {
	var out []Count
	for _, k := range slices.SortedFunc(maps.Keys(after), func(a, b kind) int {
		return cmp.Or(cmp.Compare(a.resource, b.resource), cmp.Compare(a.method, b.method))
	}) {
		if more := after[k] - before[k]; more > 0 {
			out = append(out, Count{k.method, k.resource, more / float64(n)})
		}
	}
	return out
}

// counted adds up what is held against a Service.
func counted(counts []Count) (sum, events float64) {
	for _, c := range counts {
		if c.Resource == "events" {
			events += c.Each
		} else {
			sum += c.Each
		}
	}
	return sum, events
}

// Section shows what was counted.
func Section(name string, r Result) report.Section {
	ebb, events := counted(r.Ebb)
	s := report.Section{
		Name: name, Title: "API writes of a Service",
		About: fmt.Sprintf("%d Services were made, asleep, until all were ready and %s longer. Ebb's writes are counted by the control plane itself; everybody's by the API server: those of Kubernetes' own controllers and of who made the Services are among them.", r.Services, settle),
		Data:  r,
	}
	if r.Services == 0 {
		s.Missing = "nothing was counted"
		return s
	}
	s.Targets = []report.Target{report.NewTarget("writes by Ebb for each Service, Events aside", ebb, mostWrites, "")}
	t := report.Table{Title: "Ebb's, for each Service", Columns: []string{"resource", "method", "writes"}}
	for _, c := range r.Ebb {
		t.Add(c.Resource, c.Method, c.Each)
	}
	t.Add("all but Events", "", ebb)
	t.Add("Events", "", events)
	everybody := report.Table{Title: "Everybody's, for each Service", Columns: t.Columns}
	for _, c := range r.Everybody {
		everybody.Add(c.Resource, c.Method, c.Each)
	}
	s.Tables = []report.Table{t, everybody}
	return s
}
