package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/spf13/cobra"
)

// sendFlags are the attributes of an event to send.
type sendFlags struct {
	eventsFlags
	id, kind, source, subject, contentType, data string
	extensions                                   []string
}

func newEventsSendCommand() *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use:   "send BROKER --type TYPE --source SOURCE",
		Short: "Send an event to a Broker, through the gateway as clients do",
		Long: `Send an event to a Broker, through the gateway as clients do, and show the answer; any but 202 is a failure.

The data is what --data says, or else what is piped in. It is sent as application/json if it is JSON, else as text/plain; --content-type says
otherwise.`,
		Example: `  ebb events send default --type order.placed --source /shop -d '{"id": 7}'
  ebb events send default -n shop --type invoice --source /billing --content-type application/pdf < invoice.pdf`,
		Args: cobra.ExactArgs(1),
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			data, err := f.read(cmd)
			if err != nil {
				return err
			}
			e, err := f.event(data, time.Now())
			if err != nil {
				return err
			}
			return f.send(ctx, cmd.OutOrStdout(), args[0], e)
		}),
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.kind, "type", "", "the event's type")
	flags.StringVar(&f.source, "source", "", "its source, a URI or path")
	flags.StringVar(&f.id, "id", "", "its id (default: a random one)")
	flags.StringVar(&f.subject, "subject", "", "its subject")
	flags.StringVarP(&f.data, "data", "d", "", "its data (default: what is piped in)")
	flags.StringVar(&f.contentType, "content-type", "", "what the data is (default: application/json or text/plain)")
	flags.StringArrayVar(&f.extensions, "ext", nil, "an extension, NAME=VALUE; may be repeated")
	for _, name := range []string{"type", "source"} {
		cmd.MarkFlagRequired(name) //nolint:errcheck // the flag exists
	}
	return cmd
}

// read is the data: the flag's, or what a pipe or file at standard input has.
func (f *sendFlags) read(cmd *cobra.Command) ([]byte, error) {
	if cmd.Flags().Changed("data") {
		return []byte(f.data), nil
	}
	in := cmd.InOrStdin()
	if file, ok := in.(*os.File); ok {
		info, err := file.Stat()
		if err != nil || info.Mode()&os.ModeCharDevice != 0 {
			return nil, nil
		}
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("read the data from standard input: %w", err)
	}
	return data, nil
}

// event is the one to send.
func (f *sendFlags) event(data []byte, now time.Time) (*event.Event, error) {
	e := event.New()
	e.SetType(f.kind)
	e.SetSource(f.source)
	e.SetTime(now)
	if e.SetID(f.id); f.id == "" {
		e.SetID(rand.Text())
	}
	if f.subject != "" {
		e.SetSubject(f.subject)
	}
	for _, pair := range f.extensions {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("--ext %s: must be NAME=VALUE", pair)
		}
		e.SetExtension(name, value)
	}
	if len(data) > 0 {
		if err := e.SetData(f.dataType(data), data); err != nil {
			return nil, fmt.Errorf("--data: %w", err)
		}
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("the event is not valid: %s; see --type, --source, --ext", strings.Join(strings.Fields(err.Error()), " "))
	}
	return &e, nil
}

func (f *sendFlags) dataType(data []byte) string {
	switch {
	case f.contentType != "":
		return f.contentType
	case json.Valid(data):
		return event.ApplicationJSON
	}
	return event.TextPlain
}

// sent is what came of sending an event.
type sent struct {
	Broker string `json:"broker"`
	ID     string `json:"id"`
	Status int    `json:"status"`
	Answer string `json:"answer,omitempty"`
}

// send posts the event in structured mode, which carries any attribute as it is.
func (f *sendFlags) send(ctx context.Context, w io.Writer, name string, e *event.Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("the event as JSON: %w; with --content-type application/json the data must be JSON", err)
	}
	answer, err := f.post(ctx, name, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerMost))
	if err != nil {
		return fmt.Errorf("answer of Broker %s/%s: %w", f.namespace, name, err)
	}
	out := sent{Broker: f.namespace + "/" + name, ID: e.ID(), Status: answer.StatusCode, Answer: strings.TrimSpace(string(text))}
	if f.json() {
		err = writeJSON(w, out)
	} else if out.Status == http.StatusAccepted {
		_, err = fmt.Fprintf(w, "%s: Broker %s has event %s of %s\n", answer.Status, out.Broker, out.ID, e.Source())
	}
	if err != nil || out.Status == http.StatusAccepted {
		return err
	}
	return refusedBy(out, answer.Status)
}

// refusedBy tells what the answer was and, where it does not itself, what to do.
func refusedBy(out sent, status string) error {
	if out.Answer != "" {
		return fmt.Errorf("Broker %s answered %s: %s", out.Broker, status, out.Answer)
	}
	return fmt.Errorf("Broker %s answered %s; see: ebb kubectl get brokers -A, and: ebb logs broker", out.Broker, status)
}

// ingressHost is the ingress of all Brokers as the gateway knows it on a local platform. It leads to this machine whatever DNS says.
const ingressHost = "broker-ingress.knative-eventing.localhost"

func (f *sendFlags) post(ctx context.Context, name string, body []byte) (*http.Response, error) {
	dir, err := f.platform()
	if err != nil {
		return nil, err
	}
	inst, err := dir.Load()
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(inst.HTTPPort)
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
		},
	}}
	address := f.of("http://"+net.JoinHostPort(ingressHost, port)+"/", name, "")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(address, "/"), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", event.ApplicationCloudEventsJSON)
	answer, err := client.Do(r)
	if err != nil && !errors.Is(err, context.Canceled) {
		return nil, fmt.Errorf("the gateway of the platform in %s is not reached at port %s: %w; start it with: ebb up", dir.Root(), port, err)
	}
	return answer, err
}
