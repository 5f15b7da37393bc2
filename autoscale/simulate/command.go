package simulate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/autoscaling"
)

const help = `Replays a trace of demand through the autoscaler's own measurement and decisions, against a model of replicas that
start, take requests and queue, and shows what would have happened.

A trace is CSV with a header, or one JSON object a line, in one of three forms; - reads it from standard input:

  time,concurrency[,service_time]   requests in flight from each time on; the last line marks the end
  time,rps[,service_time]           the same for requests per second
  timestamp,duration                single requests: when they came and how long they take

Times are seconds, durations such as 1m30s, or RFC 3339.`

const examples = `  # How does a burst of 50 fare with a limit of 1, and with 10?
  ebb autoscale simulate burst.csv --container-concurrency 1
  ebb autoscale simulate burst.csv --container-concurrency 10

  # Would a longer window pay?
  ebb autoscale simulate monday.csv --annotation target=50 --annotation window=5m --plot monday.svg

  # With the cluster's settings
  kubectl get configmap -n knative-serving config-autoscaler -o yaml > config.yaml
  ebb autoscale simulate monday.csv --config config.yaml -o json`

// flags are what the command line says.
type flags struct {
	settings    Settings
	annotations map[string]string
	config      string
	concurrency int64
	output      string
	plot        string
	width       int
}

// NewCommand returns the command simulate, to be put under ebb autoscale.
func NewCommand() *cobra.Command {
	f := flags{settings: DefaultSettings(autoscaling.Policy{})}
	c := &cobra.Command{
		Use: "simulate TRACE", Short: "Replay a trace of demand through the autoscaler", Long: help, Example: examples,
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(args[0], c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	s := &f.settings
	set := c.Flags()
	set.StringToStringVar(&f.annotations, "annotation", nil, "an annotation of the revision, such as target=50 or autoscaling.knative.dev/window=2m")
	set.StringVar(&f.config, "config", "", "a manifest of ConfigMap config-autoscaler")
	set.Int64Var(&f.concurrency, "container-concurrency", 0, "containerConcurrency of the revision; 0 is no limit")
	set.DurationVar(&s.PodStart, "pod-start", s.PodStart, "time from the scale patch until a replica is ready")
	set.DurationVar(&s.ServiceTime, "service-time", s.ServiceTime, "time that a request takes, where the trace does not say")
	set.Int32Var(&s.Replicas, "replicas", s.Replicas, "replicas that run at the beginning")
	set.DurationVar(&s.Tail, "tail", s.Tail, "time to go on after the trace, unless all is asleep before")
	set.DurationVar(&s.Step, "step", s.Step, "resolution of the result; 0 fits the length of the trace")
	set.Uint64Var(&s.Seed, "seed", s.Seed, "chooses the moments at which requests come, where the trace gives levels")
	set.IntVar(&s.MaxRequests, "max-requests", s.MaxRequests, "refuse traces that come to more requests")
	set.DurationVar(&s.Patch, "patch", s.Patch, "time that the scale patch takes")
	set.DurationVar(&s.Confirm, "confirm", s.Confirm, "time until every gateway holds, before the last replica goes")
	set.DurationVar(&s.Feed, "feed", s.Feed, "time between two reports of the proxies")
	set.DurationVar(&s.Options.Tick, "tick", 0, "time between two decisions; 0 is Knative's 2s")
	set.BoolVar(&s.Options.ConfirmedSleep, "confirmed-sleep", false, "let the last replica go once the gateways have confirmed, without the grace period")
	set.StringVarP(&f.output, "output", "o", "chart", "chart, json or csv")
	set.StringVar(&f.plot, "plot", "", "write a picture to this SVG file too")
	set.IntVar(&f.width, "width", 100, "width of the chart, in characters")
	return c
}

func (f *flags) run(path string, stdin io.Reader, stdout, stderr io.Writer) error {
	write, err := writer(f.output, f.width)
	if err != nil {
		return err
	}
	if f.settings.Policy, err = f.policy(stderr); err != nil {
		return err
	}
	trace, err := open(path, stdin)
	if err != nil {
		return err
	}
	result, err := Run(trace, f.settings)
	if err != nil {
		return err
	}
	if f.plot != "" {
		var picture bytes.Buffer
		if err := WriteSVG(&picture, result); err != nil {
			return err
		}
		if err := os.WriteFile(f.plot, picture.Bytes(), 0o644); err != nil {
			return fmt.Errorf("plot: %w", err)
		}
	}
	return write(stdout, result)
}

func writer(output string, width int) (func(io.Writer, Result) error, error) {
	switch output {
	case "chart":
		return func(w io.Writer, r Result) error { return WriteChart(w, r, width) }, nil
	case "json":
		return WriteJSON, nil
	case "csv":
		return WriteCSV, nil
	}
	return nil, fmt.Errorf("--output: %q must be chart, json or csv", output)
}

// policy resolves the annotations under the ConfigMap, both as the cluster would take them.
func (f *flags) policy(stderr io.Writer) (autoscaling.Policy, error) {
	config := autoscaling.DefaultConfig()
	if f.config != "" {
		data, err := os.ReadFile(f.config)
		if err != nil {
			return autoscaling.Policy{}, fmt.Errorf("--config: %w", err)
		}
		var warnings []string
		config, warnings, err = parseConfigMap(data)
		for _, w := range warnings {
			fmt.Fprintln(stderr, "warning:", w)
		}
		if err != nil {
			return autoscaling.Policy{}, fmt.Errorf("--config %s: %w", f.config, err)
		}
	}
	annotations := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(f.annotations)) {
		full := name
		if !strings.Contains(name, "/") {
			full = autoscaling.GroupName + "/" + name
		}
		annotations[full] = f.annotations[name]
	}
	if err := autoscaling.ValidateAnnotations(annotations, &config, field.NewPath("annotations")).ToAggregate(); err != nil {
		return autoscaling.Policy{}, err
	}
	for name := range annotations {
		if !known(name) {
			fmt.Fprintf(stderr, "warning: %s is no annotation of the autoscaler\n", name)
		}
	}
	if f.concurrency < 0 {
		return autoscaling.Policy{}, fmt.Errorf("--container-concurrency: %d must not be negative", f.concurrency)
	}
	return autoscaling.ResolvePolicy(annotations, &config, f.concurrency), nil
}

func known(annotation string) bool {
	return slices.ContainsFunc(append(autoscaling.Keys(), autoscaling.ProgressDeadlineKey), func(k autoscaling.Key) bool {
		return slices.Contains(k, annotation)
	})
}

// parseConfigMap reads the manifest of config-autoscaler, the first of that name if there are several documents.
func parseConfigMap(data []byte) (autoscaling.Config, []string, error) {
	for _, document := range bytes.Split(data, []byte("\n---")) {
		var manifest struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Data map[string]string `json:"data"`
		}
		if err := yaml.Unmarshal(document, &manifest); err != nil {
			return autoscaling.Config{}, nil, fmt.Errorf("no manifest: %w", err)
		}
		if manifest.Kind == "ConfigMap" && manifest.Metadata.Name == autoscaling.ConfigName {
			return autoscaling.ParseConfig(manifest.Data)
		}
	}
	return autoscaling.Config{}, nil, errors.New("there is no ConfigMap config-autoscaler in it")
}

func open(path string, stdin io.Reader) (Trace, error) {
	if path == "-" {
		return Parse(stdin)
	}
	file, err := os.Open(path)
	if err != nil {
		return Trace{}, err
	}
	defer file.Close()
	trace, err := Parse(file)
	if err != nil {
		return Trace{}, fmt.Errorf("%s: %w", path, err)
	}
	return trace, nil
}
