// Command ebb-sidecar is `ebb sidecar` alone, a replica's own proxy: a quarter of the program, in every cold start.
package main

import (
	"fmt"
	"os"

	"ebb.dev/ebb/cmd/ebb/agents/sidecar"
)

func main() {
	cmd := sidecar.Command("ebb-sidecar")
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	if err := cmd.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "ebb-sidecar:", err)
		os.Exit(1)
	}
}
