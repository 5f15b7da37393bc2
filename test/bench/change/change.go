package change

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/test/bench/report"
	"ebb.dev/ebb/test/bench/stats"
	"ebb.dev/ebb/test/bench/testbed"
)

// Options of a run.
type Options struct {
	// Changes is how often traffic is moved at each scale.
	Changes int
	// Scales are the numbers of services that exist.
	Scales []int
}

// Result at one scale.
type Result struct {
	Services int `json:"services"`
	// InForce are milliseconds from the accepted write to the first answer by the new revision.
	InForce stats.Samples `json:"inForce"`
}

const (
	service = "change"
	// changeTimeout bounds one change.
	changeTimeout = 30 * time.Second
)

// Measure moves all traffic between two warm revisions, back and forth.
func Measure(ctx context.Context, bed *testbed.Bed, o Options) ([]Result, error) {
	revisions, err := prepare(ctx, bed)
	if err != nil {
		return nil, err
	}
	var out []Result
	have := 1
	for _, scale := range o.Scales {
		var others []testbed.Service
		for ; have < scale; have++ {
			others = append(others, testbed.Service{Name: fmt.Sprintf("other-%d", have)})
		}
		if err := bed.Create(ctx, others...); err != nil {
			return out, err
		}
		r := Result{Services: scale}
		for i := range o.Changes {
			took, err := move(ctx, bed, revisions[i%2])
			if err != nil {
				return out, fmt.Errorf("change %d with %d services: %w", i, scale, err)
			}
			r.InForce = append(r.InForce, took)
		}
		out = append(out, r)
	}
	return out, nil
}

// prepare makes a service with two revisions that both run: the first one gets all requests.
func prepare(ctx context.Context, bed *testbed.Bed) (to [2]string, err error) {
	warm := map[string]string{"autoscaling.knative.dev/min-scale": "1"}
	if err := bed.Create(ctx, testbed.Service{Name: service, Annotations: warm}); err != nil {
		return to, err
	}
	if to[1], err = bed.Revision(ctx, service); err != nil {
		return to, err
	}
	patch := `{"spec":{"template":{"spec":{"containers":[{"image":"` + testbed.Image + `","env":[{"name":"TARGET","value":"second"}]}]}}}}`
	if err := write(ctx, bed, patch); err != nil {
		return to, err
	}
	timeout, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	err = testbed.Until(timeout, "wait for the second revision", func() error {
		to[0], err = bed.Revision(ctx, service)
		if err == nil && to[0] == to[1] {
			err = errors.New("there is only one")
		}
		return err
	})
	if err != nil {
		return to, err
	}
	// Traffic names revisions from here on.
	_, err = move(ctx, bed, to[1])
	return to, err
}

func write(ctx context.Context, bed *testbed.Bed, patch string) error {
	object := &servingv1.Service{}
	object.Namespace, object.Name = testbed.Services, service
	return bed.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(patch)))
}

// move gives a revision all requests and returns after how many milliseconds it answered.
func move(ctx context.Context, bed *testbed.Bed, revision string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	want := "World"
	if strings.HasSuffix(revision, "2") {
		want = "second"
	}
	conn, err := net.Dial("tcp", bed.Gateway())
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	patch := `{"spec":{"traffic":[{"revisionName":"` + revision + `","percent":100}]}}`
	if err := write(ctx, bed, patch); err != nil {
		return 0, err
	}
	begin := time.Now()
	for ctx.Err() == nil {
		answer, err := ask(conn, reader, bed.URLHost(service))
		if err != nil {
			return 0, err
		}
		if strings.Contains(answer, want) {
			return float64(time.Since(begin).Microseconds()) / 1000, nil
		}
	}
	return 0, fmt.Errorf("revision %s does not answer: %w", revision, context.Cause(ctx))
}

func ask(conn net.Conn, reader *bufio.Reader, host string) (string, error) {
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

// Section shows what was measured.
func Section(name string, results []Result) report.Section {
	s := report.Section{
		Name: name, Title: "Change in force",
		About: "All traffic of a service is moved between two warm revisions, back and forth: from the API server's answer to the write until the first answer by the other revision, asked for without a pause.",
		Data:  results,
	}
	if len(results) == 0 {
		s.Missing = "no change was measured"
		return s
	}
	t := report.Table{Title: "Milliseconds", Columns: []string{"services", "n", "p50", "p99"}}
	plot := report.Plot{Title: "Change in force", Unit: "ms"}
	for _, r := range results {
		t.Add(r.Services, len(r.InForce), r.InForce.Median(), r.InForce.Quantile(0.99))
		plot.Series = append(plot.Series, report.Series{Name: fmt.Sprintf("%d services", r.Services), Samples: r.InForce})
	}
	s.Tables, s.Plots = []report.Table{t}, []report.Plot{plot}
	return s
}
