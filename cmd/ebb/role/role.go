package role

import (
	"context"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Run makes what the command of a process does of run: its logger is made, and a signal ends the context.
func Run(log **slog.Logger, level *string, run func(ctx context.Context) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		var err error
		if *log, err = newLogger(*level); err != nil {
			return err
		}
		return run(ctx)
	}
}
