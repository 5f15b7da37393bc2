package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/broker"
)

func newEventsDeadCommand() *cobra.Command {
	var f eventsFlags
	var all bool
	var position uint64
	cmd := &cobra.Command{
		Use:   "dead TRIGGER",
		Short: "Show the events that a Trigger gave up and that no dead letter sink took",
		Long: `Show the events that a Trigger gave up and that no dead letter sink took, with where the last attempt went and what it got. With -o json they
are whole.`,
		Args: cobra.ExactArgs(1),
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			dead := []broker.DeadEvent{}
			path := f.triggerPage(args[0], "dead", "all", ifTrue(all), "position", ifSet(position), "full", f.full())
			if err := f.ask(ctx, http.MethodGet, path, &dead); err != nil {
				return err
			}
			return show(&f, cmd, dead, writeDead)
		}),
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "those too that were given back")
	cmd.Flags().Uint64Var(&position, "position", 0, "only this one")
	return cmd
}

func ifTrue(b bool) string {
	if b {
		return "true"
	}
	return ""
}

func ifSet(position uint64) string {
	if position == 0 {
		return ""
	}
	return strconv.FormatUint(position, 10)
}

func writeDead(w io.Writer, dead []broker.DeadEvent) error {
	table := newTable(w)
	fmt.Fprintln(table, "POSITION\tDIED\tTYPE\tSOURCE\tID\tCODE\tREASON\tREDRIVEN")
	for _, d := range dead {
		redriven := "-"
		if d.Redriven != nil {
			redriven = clockTime(*d.Redriven)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", d.Position, clockTime(d.Stored.Stored), oneLine(d.Type), oneLine(d.Source),
			oneLine(d.ID), d.Code, oneLine(d.Reason), redriven)
	}
	return table.Flush()
}

func newEventsRedriveCommand() *cobra.Command {
	var f eventsFlags
	var position uint64
	cmd := &cobra.Command{
		Use:   "redrive TRIGGER",
		Short: "Give a Trigger's dead events back to its Broker",
		Long: `Give a Trigger's dead events back to its Broker, as they were before they died: all that were not given back yet, or the one at --position.

The Broker takes them as it takes any event: every Trigger of it whose filter they pass gets them, not only the one that gave them up.`,
		Args: cobra.ExactArgs(1),
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			var done broker.Redriven
			if err := f.ask(ctx, http.MethodPost, f.triggerPage(args[0], "redrive", "position", ifSet(position)), &done); err != nil {
				return err
			}
			err := show(&f, cmd, done, writeRedriven)
			if err == nil && len(done.Refused) > 0 {
				return fmt.Errorf("Trigger %s: %d dead events were not given back; see the reasons above, then try again", done.Trigger, len(done.Refused))
			}
			return err
		}),
	}
	f.add(cmd)
	cmd.Flags().Uint64Var(&position, "position", 0, "only this one, even if it was given back before")
	return cmd
}

func writeRedriven(w io.Writer, done broker.Redriven) error {
	table := newTable(w)
	if len(done.Positions)+len(done.Refused) == 0 {
		fmt.Fprintf(table, "Trigger %s has no dead events to give back\n", done.Trigger)
		return table.Flush()
	}
	fmt.Fprintln(table, "POSITION\tRESULT")
	for _, at := range done.Positions {
		fmt.Fprintf(table, "%d\tgiven back\n", at)
	}
	for _, refused := range done.Refused {
		fmt.Fprintf(table, "%d\trefused: %s\n", refused.Position, refused.Error)
	}
	return table.Flush()
}
