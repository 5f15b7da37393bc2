package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/broker"
)

func newEventsListCommand() *cobra.Command {
	var f eventsFlags
	var last uint
	cmd := &cobra.Command{
		Use:   "list BROKER",
		Short: "Show the last events that a Broker stored",
		Args:  cobra.ExactArgs(1),
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			events := []broker.Stored{}
			path := f.brokerPage(args[0], "events", "last", strconv.FormatUint(uint64(last), 10), "full", f.full())
			if err := f.ask(ctx, http.MethodGet, path, &events); err != nil {
				return err
			}
			return show(&f, cmd, events, writeEvents)
		}),
	}
	f.add(cmd)
	cmd.Flags().UintVar(&last, "last", 20, "how many, up to 1000")
	return cmd
}

func writeEvents(w io.Writer, events []broker.Stored) error {
	table := newTable(w)
	fmt.Fprintln(table, "POSITION\tSTORED\tTYPE\tSOURCE\tID\tBYTES")
	for _, e := range events {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\n", e.Place(), clockTime(e.Stored), oneLine(e.Type), oneLine(e.Source), oneLine(e.ID), e.Bytes)
	}
	return table.Flush()
}

func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 3, ' ', 0) }

// clockTime is a time as tables have it: the viewer's own.
func clockTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05.000") }

func newEventsTailCommand() *cobra.Command {
	var f eventsFlags
	var last uint
	cmd := &cobra.Command{
		Use:   "tail BROKER",
		Short: "Show events as a Broker stores them, until interrupted",
		Args:  cobra.ExactArgs(1),
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			body, err := f.call(ctx, http.MethodGet, f.brokerPage(args[0], "follow", "last", strconv.FormatUint(uint64(last), 10)))
			if err != nil {
				return notInterrupted(ctx, err)
			}
			defer body.Close()
			return notInterrupted(ctx, f.copyLines(cmd.OutOrStdout(), body, args[0]))
		}),
	}
	f.add(cmd)
	cmd.Flags().UintVar(&last, "last", 0, "begin with so many of those stored already, up to 1000")
	return cmd
}

// notInterrupted is the error, unless it is that the user ended the command.
func notInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// copyLines shows each line as it comes.
func (f *eventsFlags) copyLines(w io.Writer, body io.Reader, name string) error {
	lines := json.NewDecoder(body)
	for {
		var raw json.RawMessage
		if err := lines.Decode(&raw); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("the event broker sends no more of Broker %s/%s: it ended, or the Broker is gone; see: ebb status", f.namespace, name)
			}
			return fmt.Errorf("follow Broker %s/%s: %w", f.namespace, name, err)
		}
		if f.json() {
			if _, err := fmt.Fprintf(w, "%s\n", raw); err != nil {
				return err
			}
			continue
		}
		var e broker.Stored
		if err := json.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("follow Broker %s/%s: %w", f.namespace, name, err)
		}
		// Columns cannot wait for what comes: these widths fit most.
		if _, err := fmt.Fprintf(w, "%-8s  %s  %-32s  %-32s  %-24s  %d\n",
			e.Place(), clockTime(e.Stored), oneLine(e.Type), oneLine(e.Source), oneLine(e.ID), e.Bytes); err != nil {
			return err
		}
	}
}

func newEventsShowCommand() *cobra.Command {
	var f eventsFlags
	cmd := &cobra.Command{
		Use:   "show BROKER POSITION",
		Short: "Show an event that a Broker stored, whole, in CloudEvents' JSON format",
		Args:  cobra.ExactArgs(2),
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			partition, position, err := broker.ParsePlace(args[1])
			if err != nil {
				return fmt.Errorf("POSITION %s: must be a number, or PARTITION/POSITION, as shown by: ebb events list %s -n %s", args[1], args[0], f.namespace)
			}
			var e json.RawMessage
			if err := f.ask(ctx, http.MethodGet, f.brokerPage(args[0], "events/"+broker.PlaceOf(partition, position)), &e); err != nil {
				return err
			}
			return writeJSON(cmd.OutOrStdout(), e)
		}),
	}
	f.add(cmd)
	return cmd
}

func newEventsTriggersCommand() *cobra.Command {
	var f eventsFlags
	var everywhere bool
	cmd := &cobra.Command{
		Use:   "triggers",
		Short: "Show how far each Trigger is, counted since the event broker began",
		Args:  cobra.NoArgs,
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			namespace := f.namespace
			if everywhere {
				namespace = ""
			}
			triggers := []broker.TriggerState{}
			if err := f.ask(ctx, http.MethodGet, broker.TriggersPath+queryOf("namespace", namespace), &triggers); err != nil {
				return err
			}
			return show(&f, cmd, triggers, writeTriggers)
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "those of all namespaces")
	return cmd
}

func writeTriggers(w io.Writer, triggers []broker.TriggerState) error {
	table := newTable(w)
	fmt.Fprintln(table, "NAMESPACE\tTRIGGER\tSTATE\tMATCHED\tDELIVERED\tRETRIED\tDEAD\tLAG\tLAST FAILURE")
	for _, t := range triggers {
		name := t.Name
		if t.Partition != nil {
			name += fmt.Sprintf(" partition %d", *t.Partition)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", t.Namespace, name, triggerStateOf(t), t.Matched, t.Delivered, t.Retried, t.Dead, t.Lag, lastFailure(t))
	}
	return table.Flush()
}

func lastFailure(t broker.TriggerState) string {
	switch {
	case t.FailedAt != nil && t.FailedStatus != 0:
		return fmt.Sprintf("%s %d %s", clockTime(*t.FailedAt), t.FailedStatus, oneLine(t.FailedText))
	case t.FailedAt != nil:
		return clockTime(*t.FailedAt) + " " + oneLine(t.FailedText)
	}
	return "-"
}

// triggerStateOf says whether a Trigger delivers.
func triggerStateOf(t broker.TriggerState) string {
	switch {
	case t.Paused:
		return "paused"
	case t.Waiting:
		return "no subscriber"
	}
	return "delivering"
}
