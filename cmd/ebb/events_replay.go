package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/broker"
)

func newEventsReplayCommand() *cobra.Command {
	var f eventsFlags
	var from, to, partition string
	var dry bool
	cmd := &cobra.Command{
		Use:   "replay TRIGGER --from POSITION|TIME|AGO [--to POSITION|TIME|AGO]",
		Short: "Deliver what a Broker stored in a range to a Trigger's subscriber again",
		Long: `Deliver what a Broker stored in a range to a Trigger's subscriber again, as far as it passes the Trigger's filter and is still kept. Both ends are
included, --to is the last event stored so far unless it is given. A place is a position, as shown by "ebb events list", a time such as
2026-01-02T15:04:05Z, or how long ago, such as 90m.

A Broker that is a topic of Kafka has positions of its own in each partition, such as 3/17: the range is in that one. With times, and without
--partition, all partitions are replayed, one after the other.

The Trigger's delivery rules apply: retries, order, rate, dead letters, and replies go where they always go. What the Trigger has to deliver
anyway goes on beside it, and its position does not move. The subscriber gets the same events again, of the same source and id.

Interrupted, it ends, and says from where to go on.`,
		Args: cobra.ExactArgs(1),
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			body, err := f.call(ctx, http.MethodPost, f.triggerPage(args[0], "replay", "from", from, "to", to, "partition", partition, "dryRun", ifTrue(dry)))
			if err != nil {
				return err
			}
			defer body.Close()
			var shown io.Writer
			if !f.json() && terminal(os.Stderr) {
				shown = cmd.ErrOrStderr()
			}
			all := followReplays(body, shown)
			if len(all) == 1 {
				err = show(&f, cmd, all[0], writeReplay)
			} else {
				err = show(&f, cmd, all, writeReplays)
			}
			return errors.Join(err, unfinished(all, args[0], f.namespace))
		}),
	}
	f.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "where to begin")
	cmd.Flags().StringVar(&to, "to", "", "where to end, included (default: the last event stored so far)")
	cmd.Flags().StringVar(&partition, "partition", "", "of a Broker that is a Kafka topic: which partition")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "deliver nothing; show what would be delivered")
	if err := cmd.MarkFlagRequired("from"); err != nil {
		panic(err)
	}
	return cmd
}

// followReplays reads how far a replay is until it ends or is broken off, and returns what was said last of each partition that it came to; of a
// Broker that is no topic, that is one. shown is a terminal, or nil.
func followReplays(body io.Reader, shown io.Writer) []broker.Replay {
	lines := json.NewDecoder(body)
	all := []broker.Replay{followReplay(lines, shown)}
	for last := all[0]; last.Interrupted == "" && len(all) < last.Partitions; all = append(all, last) {
		last = followReplay(lines, shown)
	}
	return all
}

// followReplay is followReplays for one partition.
func followReplay(lines *json.Decoder, shown io.Writer) broker.Replay {
	var last broker.Replay
	for !last.Ended {
		var now broker.Replay
		if err := lines.Decode(&now); err != nil {
			last.Interrupted = "the answer was broken off"
			break
		}
		last = now
		if shown != nil && !last.Ended {
			// The line is written over by the next one; a terminal that fails loses only this.
			_, _ = fmt.Fprintf(shown, "\r%sat %d of %d to %d: %d delivered, %d dead \x1b[K", inPartition(last), last.Next, last.From, last.To, last.Delivered, last.Dead)
		}
	}
	if shown != nil {
		_, _ = io.WriteString(shown, "\r\x1b[K")
	}
	return last
}

// inPartition says which partition a replay is about, if its Broker has any.
func inPartition(r broker.Replay) string {
	if r.Partition == nil {
		return ""
	}
	return fmt.Sprintf("partition %d, ", *r.Partition)
}

// unfinished says how to go on with a replay that was interrupted; nil for one that was not.
func unfinished(all []broker.Replay, name, namespace string) error {
	last := all[len(all)-1]
	if last.Interrupted == "" {
		return nil
	}
	begun := ""
	if len(all) > 1 {
		begun = fmt.Sprintf(" in partition %d of %d", len(all), all[0].Partitions)
	}
	if last.Next == 0 {
		return fmt.Errorf("Trigger %s/%s: the replay was interrupted%s before it said how far it is (%s); begin it again", namespace, name, begun, last.Interrupted)
	}
	later := ""
	if rest := last.Partitions - len(all); rest > 0 {
		later = fmt.Sprintf(", then with the %d partitions after it, each with --partition", rest)
	}
	return fmt.Errorf("Trigger %s: the replay was interrupted%s (%s); go on with: ebb events replay %s -n %s --from %s --to %s%s",
		last.Trigger, begun, last.Interrupted, name, namespace, broker.PlaceOf(last.Partition, last.Next), broker.PlaceOf(last.Partition, last.To), later)
}

// writeReplays writes what became of each partition.
func writeReplays(w io.Writer, all []broker.Replay) error {
	for _, r := range all {
		if err := writeReplay(w, r); err != nil {
			return err
		}
	}
	return nil
}

func writeReplay(w io.Writer, r broker.Replay) error {
	if r.NotKept > 0 {
		fmt.Fprintf(w, "%d positions before %s are not kept any more\n", r.NotKept, broker.PlaceOf(r.Partition, r.From))
	}
	if r.DryRun && len(r.Events) > 0 {
		if err := writeEvents(w, r.Events); err != nil {
			return err
		}
		if more := r.Matched - uint64(len(r.Events)); more > 0 {
			fmt.Fprintf(w, "and %d more\n", more)
		}
	}
	if r.Lost > 0 {
		fmt.Fprintf(w, "%d positions were dropped by the Broker before their turn came\n", r.Lost)
	}
	var err error
	switch {
	case r.Next == 0 || r.Interrupted != "" && r.Next == r.From:
	case r.From > r.To:
		_, err = fmt.Fprintf(w, "Trigger %s: %sthe Broker keeps nothing in that range\n", r.Trigger, inPartition(r))
	case r.DryRun:
		_, err = fmt.Fprintf(w, "Trigger %s: %d events of positions %s to %s would be delivered\n", r.Trigger, r.Matched,
			broker.PlaceOf(r.Partition, r.From), broker.PlaceOf(r.Partition, r.To))
	default:
		_, err = fmt.Fprintf(w, "Trigger %s: positions %s to %s: %d delivered, %d retried, %d dead\n", r.Trigger,
			broker.PlaceOf(r.Partition, r.From), broker.PlaceOf(r.Partition, min(r.Next-1, r.To)), r.Delivered, r.Retried, r.Dead)
	}
	return err
}

// terminal says whether a file is one that shows characters to a person.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
