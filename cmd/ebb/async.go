package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/eventing/async"
)

func newAsyncCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "async",
		Short: "See and steer requests that are answered later",
		Long: `Look at the requests that Services of the local platform answer later (Prefer: respond-async), cancel some, and try those again whose
attempts are used up.`,
	}
	cmd.AddCommand(newAsyncListCommand(),
		newAsyncStepCommand("retry", "Try a dead request again, from the start"), newAsyncStepCommand("cancel", "Cancel a request that has not ended"))
	return cmd
}

func newAsyncListCommand() *cobra.Command {
	var f eventsFlags
	var state string
	var last uint
	cmd := &cobra.Command{
		Use:   "list [SERVICE]",
		Short: "Show the latest requests of a namespace's Services, or of one",
		Args:  cobra.MaximumNArgs(1),
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			service := ""
			if len(args) > 0 {
				service = args[0]
			}
			requests := []async.Status{}
			query := queryOf("namespace", f.namespace, "service", service, "state", state, "last", strconv.FormatUint(uint64(last), 10))
			if err := f.ask(ctx, http.MethodGet, "/async"+query, &requests); err != nil {
				return err
			}
			return show(&f, cmd, requests, writeRequests)
		}),
	}
	f.add(cmd)
	cmd.Flags().StringVar(&state, "in", "", "only those that are queued, running, succeeded, failed, cancelled or dead")
	cmd.Flags().UintVar(&last, "last", 20, "how many, up to 1000")
	return cmd
}

func newAsyncStepCommand(name, short string) *cobra.Command {
	var f eventsFlags
	cmd := &cobra.Command{
		Use:   name + " SERVICE ID",
		Short: short,
		Args:  cobra.ExactArgs(2),
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			var done async.Status
			path := "/async/" + url.PathEscape(f.namespace) + "/" + url.PathEscape(args[0]) + "/" + url.PathEscape(args[1]) + "/" + name
			if err := f.ask(ctx, http.MethodPost, path, &done); err != nil {
				return err
			}
			if f.json() {
				return writeJSON(cmd.OutOrStdout(), done)
			}
			return writeRequests(cmd.OutOrStdout(), []async.Status{done})
		}),
	}
	f.add(cmd)
	return cmd
}

func writeRequests(w io.Writer, requests []async.Status) error {
	table := newTable(w)
	fmt.Fprintln(table, "ID\tSERVICE\tSTATE\tATTEMPTS\tSTATUS\tACCEPTED\tMETHOD\tPATH\tERROR")
	for _, r := range requests {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", r.ID, r.Service, r.State, r.Attempts, r.Status, clockTime(r.Accepted),
			oneLine(r.Method), oneLine(r.Path), oneLine(r.Error))
	}
	return table.Flush()
}
