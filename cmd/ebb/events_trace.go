package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/broker"
	"ebb.dev/ebb/eventing/dispatch"
)

func newEventsTraceCommand() *cobra.Command {
	var f eventsFlags
	var source, since string
	cmd := &cobra.Command{
		Use:   "trace ID",
		Short: "Show where an event is stored and what has become of it at each Trigger and Subscription",
		Long: `Show in which Brokers and Channels an event with that id is stored, and what has become of it at each Trigger and Subscription there:

  before       the Trigger began after it was stored
  not reached  the Trigger has not come so far
  filtered     it does not pass the filter that the Trigger has now
  waiting      to be delivered, or tried again, and when
  delivering   an attempt is under way
  delivered    the subscriber took it
  replying     delivered; the subscriber's answer is to be sent on
  dying, dead  given up, and why
  lost         the Broker did not keep it until its turn came
  done         delivered or dead-lettered: the event broker was restarted since, and does not know which

Other events of the same trace (extension traceparent), such as replies, are shown too. Everything that is kept is searched, in all namespaces,
unless --namespace and --since say less.`,
		Args: cobra.ExactArgs(1),
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			namespace := ""
			if cmd.Flags().Changed("namespace") {
				namespace = f.namespace
			}
			var found broker.Trace
			path := broker.TracePath + queryOf("id", args[0], "source", source, "namespace", namespace, "since", since)
			if err := f.ask(ctx, http.MethodGet, path, &found); err != nil {
				return err
			}
			err := show(&f, cmd, found, writeTrace)
			if err == nil && len(found.Stored) == 0 {
				return fmt.Errorf("no event with id %s is kept: looked at %d events in %d Brokers and Channels", found.ID, found.Searched, found.Streams)
			}
			return err
		}),
	}
	f.add(cmd)
	cmd.Flags().StringVar(&source, "source", "", "only the event of this source")
	cmd.Flags().StringVar(&since, "since", "", "search what was stored since a time such as 2026-01-02T15:04:05Z, or how long ago, such as 90m")
	return cmd
}

func writeTrace(w io.Writer, found broker.Trace) error {
	for i, s := range found.Stored {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s, position %s, stored %s: type %s, source %s, %d bytes\n", placeName(s.Place), s.Stored.Place(), clockTime(s.Stored.Stored), oneLine(s.Type), oneLine(s.Source), s.Bytes)
		if s.Trace != "" {
			fmt.Fprintf(w, "trace %s\n", s.Trace)
		}
		table := newTable(w)
		for _, r := range s.Readers {
			fmt.Fprintf(table, "  %s %s/%s\t%s\t%s\n", r.Kind, r.Namespace, r.Name, r.State, fateDetail(r))
		}
		if len(s.Readers) == 0 {
			fmt.Fprintln(table, "  nobody reads it")
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if len(found.Related) > 0 {
		fmt.Fprintln(w, "\nOf the same trace:")
		table := newTable(w)
		for _, r := range found.Related {
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\t%s\n", placeName(r.Place), r.Stored.Place(), clockTime(r.Stored.Stored), oneLine(r.Type), oneLine(r.Source), oneLine(r.ID))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, why := range found.Incomplete {
		if _, err := fmt.Fprintf(w, "something may be missing: %s\n", why); err != nil {
			return err
		}
	}
	return nil
}

func placeName(p broker.Place) string { return fmt.Sprintf("%s %s/%s", p.Kind, p.Namespace, p.Name) }

// fateDetail is what there is to say besides an event's state.
func fateDetail(r broker.ReaderFate) string {
	var out []string
	if r.Attempts > 0 {
		out = append(out, fmt.Sprintf("%d attempts failed", r.Attempts))
	}
	if r.NextAttempt != nil && r.State != dispatch.Delivering {
		out = append(out, "next at "+clockTime(*r.NextAttempt))
	}
	switch r.To {
	case dispatch.ToSink:
		out = append(out, "went to the dead letter sink")
	case dispatch.ToList:
		out = append(out, "is on the list: ebb events dead "+r.Name+" -n "+r.Namespace)
	}
	if r.At != nil {
		out = append(out, "at "+r.At.Local().Format(time.DateTime))
	}
	if r.Code != 0 {
		out = append(out, fmt.Sprintf("the answer was %d %s", r.Code, oneLine(r.Reason)))
	}
	if r.Paused && r.State != dispatch.Taken && r.State != dispatch.Filtered && r.State != dispatch.Before {
		out = append(out, "nothing is delivered now: paused, or no subscriber")
	}
	if r.State == dispatch.Taken && r.Subscriber != "" {
		out = append(out, "to "+r.Subscriber)
	}
	return strings.TrimSpace(strings.Join(out, "; "))
}
