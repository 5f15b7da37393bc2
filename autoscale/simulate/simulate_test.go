package simulate

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ebb.dev/ebb/crds/autoscaling"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func resolved(annotations map[string]string, concurrency int64) autoscaling.Policy {
	config := autoscaling.DefaultConfig()
	full := map[string]string{}
	for k, v := range annotations {
		full[autoscaling.GroupName+"/"+k] = v
	}
	return autoscaling.ResolvePolicy(full, &config, concurrency)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs; look at it with -update\n%s", path, cmp.Diff(string(want), string(got)))
	}
}

// command runs the command as a user would and returns what it writes.
func command(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	c := NewCommand()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&errs)
	err = c.Execute()
	return out.String(), errs.String(), err
}

func TestTracesScaleAsTheGoldensShow(t *testing.T) {
	tests := []struct{ name, args string }{
		{"steady", "testdata/steady.csv"},
		{"steady-warm", "testdata/steady.csv --replicas 1"},
		{"burst-limit-1", "testdata/burst.csv --container-concurrency 1"},
		{"burst-limit-10", "testdata/burst.csv --container-concurrency 10"},
		{"burst-max-scale", "testdata/burst.csv --container-concurrency 1 --annotation max-scale=5"},
		{"burst-no-buffer", "testdata/burst.csv --container-concurrency 1 --annotation target-burst-capacity=0"},
		{"burst-no-buffer-confirmed-sleep", "testdata/burst.csv --container-concurrency 1 --annotation target-burst-capacity=0 --confirmed-sleep"},
		{"diurnal", "testdata/diurnal.csv --annotation target=1"},
		{"diurnal-rps", "testdata/diurnal.csv --annotation metric=rps,target=5"},
		{"sawtooth", "testdata/sawtooth.jsonl --container-concurrency 10"},
		{"sawtooth-weighted", "testdata/sawtooth.jsonl --container-concurrency 10 --annotation metric-aggregation-algorithm=weighted-exponential"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, err := command(t, strings.Fields(tt.args)...)
			if err != nil || errs != "" {
				t.Fatalf("%v %s", err, errs)
			}
			golden(t, tt.name+".txt", []byte("$ ebb autoscale simulate "+tt.args+"\n"+out))
		})
	}
}

func TestABurstFromZeroWakesWithTheKPAsNumberAtOnce(t *testing.T) {
	burst := Trace{}
	for range 50 {
		burst.Arrivals = append(burst.Arrivals, Arrival{Duration: 100 * time.Millisecond})
	}
	for concurrency, want := range map[int64]int{1: 72, 10: 8} {
		r, err := Run(burst, DefaultSettings(resolved(nil, concurrency)))
		if err != nil {
			t.Fatal(err)
		}
		if r.Summary.MaxPods != want {
			t.Errorf("limit %d: %d replicas, want %d", concurrency, r.Summary.MaxPods, want)
		}
		// One start of a replica and the patches before it: nobody waits for a tick of 2 s.
		if longest := 1.05; r.Summary.Wait.Max > longest {
			t.Errorf("limit %d: the last waited %v s, want at most %v", concurrency, r.Summary.Wait.Max, longest)
		}
	}
}

func TestEveryRequestIsServedOnceAndTheSumsAgree(t *testing.T) {
	for _, name := range []string{"steady.csv", "burst.csv", "sawtooth.jsonl"} {
		for _, concurrency := range []int64{0, 1, 10} {
			trace, err := open(filepath.Join("testdata", name), nil)
			if err != nil {
				t.Fatal(err)
			}
			s := DefaultSettings(resolved(nil, concurrency))
			s.Step = time.Second
			r, err := Run(trace, s)
			if err != nil {
				t.Fatal(err)
			}
			offered, inflight, pods := 0., 0., 0.
			for _, step := range r.Steps {
				seconds := math.Min(r.Step, r.Summary.Length-step.At)
				offered += step.Offered * seconds
				inflight += step.Inflight * seconds
				pods += step.Pods * seconds
				if limit := float64(concurrency); limit > 0 && step.Inflight > limit*step.Pods+1e-3 {
					t.Errorf("%s, limit %d, at %v s: %v in flight in %v replicas", name, concurrency, step.At, step.Inflight, step.Pods)
				}
			}
			if r.Summary.Unanswered != 0 || math.Abs(offered-inflight) > .001*offered+.5 {
				t.Errorf("%s, limit %d: offered %.1f request-seconds, served %.1f, %d unanswered", name, concurrency, offered, inflight, r.Summary.Unanswered)
			}
			if math.Abs(pods-r.Summary.PodSeconds) > .001*pods+.1 {
				t.Errorf("%s, limit %d: %.1f pod-seconds in steps, %.1f in the summary", name, concurrency, pods, r.Summary.PodSeconds)
			}
		}
	}
}

func TestTheSameSeedGivesTheSameResult(t *testing.T) {
	trace := Trace{Levels: []Level{{Concurrency: 20}, {At: time.Minute}}}
	s := DefaultSettings(resolved(nil, 2))
	first, err := Run(trace, s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Run(trace, s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("(-first +again)\n%s", diff)
	}
	s.Seed = 2
	other, err := Run(trace, s)
	if err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(first.Summary, other.Summary) {
		t.Error("another seed changes nothing")
	}
}

func TestConfirmedSleepSavesTheGracePeriod(t *testing.T) {
	burst := Trace{Arrivals: []Arrival{{Duration: 100 * time.Millisecond}}}
	s := DefaultSettings(resolved(map[string]string{"target-burst-capacity": "0"}, 0))
	knative, err := Run(burst, s)
	if err != nil {
		t.Fatal(err)
	}
	s.Options.ConfirmedSleep = true
	confirmed, err := Run(burst, s)
	if err != nil {
		t.Fatal(err)
	}
	if saved := knative.Summary.PodSeconds - confirmed.Summary.PodSeconds; saved < 29 || saved > 31 {
		t.Errorf("it saves %.1f pod-seconds, want the 30 s of the grace period", saved)
	}
}

func TestOutputsHoldTheWholeResult(t *testing.T) {
	asJSON, _, err := command(t, "testdata/burst.csv", "--container-concurrency", "10", "--step", "1s", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	if err := json.Unmarshal([]byte(asJSON), &r); err != nil {
		t.Fatal(err)
	}
	if r.Step != 1 || r.Summary.Requests != 100 || len(r.Steps) < 150 {
		t.Errorf("step %v, %d requests, %d steps", r.Step, r.Summary.Requests, len(r.Steps))
	}
	asCSV, _, err := command(t, "testdata/burst.csv", "--container-concurrency", "10", "--step", "1s", "-o", "csv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(asCSV), "\n")
	if len(lines) != len(r.Steps)+1 || lines[0] != "at,arrived,offered,inflight,waiting,ready,pods,wanted,needed,panicking" {
		t.Errorf("%d lines under %s", len(lines)-1, lines[0])
	}
}

func TestThePlotIsWellFormed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plot.svg")
	if _, _, err := command(t, "testdata/burst.csv", "--container-concurrency", "10", "--plot", path); err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := wellFormed(picture); err != nil {
		t.Errorf("%v\n%s", err, picture)
	}
	if n := bytes.Count(picture, []byte("<polyline")); n != 6 {
		t.Errorf("%d curves", n)
	}
}

func TestAClusterSettingCountsAndWarns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-network}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: config-autoscaler\ndata:\n  max-scale: \"3\"\n  target: \"100\"\n"
	if err := os.WriteFile(path, []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	out, errs, err := command(t, "testdata/burst.csv", "--container-concurrency", "1", "--config", path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "at most 3,") {
		t.Errorf("max-scale did not count:\n%s", out)
	}
	if want := "warning: ConfigMap knative-serving/config-autoscaler: target: unknown key, kept but without effect; use container-concurrency-target-default\n"; errs != want {
		t.Errorf("warned %q", errs)
	}
}

func TestMistakesOnTheCommandLineAreNamed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.yaml")
	if err := os.WriteFile(empty, []byte("kind: Secret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ args, want string }{
		{"testdata/nowhere.csv", "no such file"},
		{"testdata/burst.csv -o xml", `--output: "xml" must be chart, json or csv`},
		{"testdata/burst.csv --annotation target=0", "annotations[autoscaling.knative.dev/target]: Invalid value"},
		{"testdata/burst.csv --annotation class=hpa.autoscaling.knative.dev", "class hpa.autoscaling.knative.dev cannot be simulated"},
		{"testdata/burst.csv --container-concurrency -1", "--container-concurrency: -1 must not be negative"},
		{"testdata/burst.csv --replicas -1", "--replicas: -1 must not be negative"},
		{"testdata/burst.csv --pod-start -1s", "--pod-start: -1s must be at least 0s"},
		{"testdata/burst.csv --feed 1ms", "--feed: 1ms must be at least 10ms"},
		{"testdata/steady.csv --max-requests 10", "more than --max-requests 10"},
		{"testdata/burst.csv --config " + empty, "there is no ConfigMap config-autoscaler in it"},
		{"testdata/burst.csv --config nowhere.yaml", "--config: open nowhere.yaml"},
	}
	for _, tt := range tests {
		if _, _, err := command(t, strings.Fields(tt.args)...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:\n got %v\nwant %s", tt.args, err, tt.want)
		}
	}
	if _, errs, err := command(t, "testdata/burst.csv", "--annotation", "colour=blue"); err != nil || !strings.Contains(errs, "autoscaling.knative.dev/colour is no annotation") {
		t.Errorf("%v, warned %q", err, errs)
	}
}

func TestATraceComesFromStandardInput(t *testing.T) {
	var out bytes.Buffer
	c := NewCommand()
	c.SetArgs([]string{"-", "-o", "csv"})
	c.SetIn(strings.NewReader("timestamp,duration\n0,0.1\n"))
	c.SetOut(&out)
	if err := c.Execute(); err != nil || !strings.HasPrefix(out.String(), "at,") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// wellFormed reads XML to its end.
func wellFormed(document []byte) error {
	for d := xml.NewDecoder(bytes.NewReader(document)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
