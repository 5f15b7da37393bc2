package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/broker"
	"ebb.dev/ebb/deploy/local/state"
)

func newEventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Send events to Brokers and see what becomes of them",
		Long: `Send events to the Brokers of the local platform, look at what they stored, at how far Triggers are, and at the events that could not be
delivered; and give those back.`,
	}
	cmd.AddCommand(newEventsSendCommand(), newEventsListCommand(), newEventsTailCommand(), newEventsShowCommand(), newEventsTraceCommand(),
		newEventsTriggersCommand(), newEventsPauseCommand(), newEventsResumeCommand(), newEventsReplayCommand(),
		newEventsDeadCommand(), newEventsRedriveCommand())
	return cmd
}

// eventsFlags are those that all commands about events have.
type eventsFlags struct {
	state, namespace, output string
}

func (f *eventsFlags) add(cmd *cobra.Command) {
	stateFlag(cmd, &f.state)
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "default", "the namespace")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "json, or text")
}

// run makes what a command does of do: the flags are checked, and a signal ends the context.
func (f *eventsFlags) run(do func(ctx context.Context, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if f.output != "" && f.output != "json" {
			return fmt.Errorf("-o %s: must be json", f.output)
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return do(ctx, cmd, args)
	}
}

// show writes an answer as was asked for: as JSON, or by write.
func show[T any](f *eventsFlags, cmd *cobra.Command, answer T, write func(io.Writer, T) error) error {
	if f.json() {
		return writeJSON(cmd.OutOrStdout(), answer)
	}
	return write(cmd.OutOrStdout(), answer)
}

func (f *eventsFlags) json() bool { return f.output == "json" }

// platform is the folder of the platform, which must have been started.
func (f *eventsFlags) platform() (*state.Dir, error) {
	dir, err := state.Find(f.state)
	if err != nil {
		return nil, err
	}
	if !dir.Exists() {
		return nil, fmt.Errorf("no platform has been started in %s; start one with: ebb up", dir.Root())
	}
	return dir, nil
}

// of is a page about the object called name; query holds pairs of names and values, of which empty values are left out.
func (f *eventsFlags) of(base, name, page string, query ...string) string {
	return base + url.PathEscape(f.namespace) + "/" + url.PathEscape(name) + "/" + page + queryOf(query...)
}

func queryOf(pairs ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// call asks the platform's event broker; the answer is open, and good.
func (f *eventsFlags) call(ctx context.Context, method, path string) (io.ReadCloser, error) {
	dir, err := f.platform()
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", dir.Run("events.sock"))
		},
	}}
	r, err := http.NewRequestWithContext(ctx, method, "http://broker"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, unreachable(dir, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	why, err := io.ReadAll(io.LimitReader(answer.Body, answerMost))
	if err != nil {
		return nil, fmt.Errorf("the event broker answered %s: %w", answer.Status, err)
	}
	return nil, errors.New(strings.TrimSpace(string(why)))
}

// unreachable says what to do about a socket at which nobody answers.
func unreachable(dir *state.Dir, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		inst, loadErr := dir.Load()
		if loadErr == nil && inst.Node == "light" {
			return fmt.Errorf("the platform in %s has no event broker: its node is light; it needs: ebb up --node=kubelet, as root", dir.Root())
		}
		return fmt.Errorf("no event broker runs in %s; start the platform with: ebb up (or see: ebb status, ebb logs broker)", dir.Root())
	}
	return fmt.Errorf("event broker in %s: %w; see: ebb logs broker", dir.Root(), err)
}

// answerMost is as much of an answer to people as is read, in bytes.
const answerMost = 64 << 10

// ask decodes what the event broker says.
func (f *eventsFlags) ask(ctx context.Context, method, path string, into any) error {
	body, err := f.call(ctx, method, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("answer of the event broker: %w", err)
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// oneLine is text for a cell of a table: without what would end it, and not too long.
func oneLine(s string) string {
	const most = 60
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

// full asks for whole events where the output has room for them.
func (f *eventsFlags) full() string {
	if f.json() {
		return "true"
	}
	return ""
}

// brokerPage is a page about a Broker, triggerPage one about a Trigger.
func (f *eventsFlags) brokerPage(name, page string, query ...string) string {
	return f.of(broker.BrokersPath, name, page, query...)
}

func (f *eventsFlags) triggerPage(name, page string, query ...string) string {
	return f.of(broker.TriggersPath, name, page, query...)
}
