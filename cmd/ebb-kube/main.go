package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	"k8s.io/component-base/version"
	"k8s.io/klog/v2"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

const usage = `usage:
  ebb-kube run CONFIG.json      serve until SIGTERM
  ebb-kube kubectl ARGS...      the kubectl of this Kubernetes
  ebb-kube version
`

func main() {
	// A link called kubectl is kubectl.
	if filepath.Base(os.Args[0]) == "kubectl" {
		kubectl(os.Args)
		return
	}
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	switch os.Args[1] {
	case "kubectl":
		kubectl(append([]string{"kubectl"}, os.Args[2:]...))
	case "version":
		fmt.Println(version.Get().GitVersion)
	case "run":
		if len(os.Args) != 3 {
			fmt.Fprint(os.Stderr, usage)
			os.Exit(2)
		}
		os.Exit(serve(os.Args[2]))
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
}

// kubectl runs the real command with args, whose first is the program's name.
func kubectl(args []string) {
	os.Args = args
	logs.GlogSetter(cmd.GetLogVerbosity(os.Args)) //nolint:errcheck // a wrong -v is reported by the command itself
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}

// serve runs what the file asks for and returns the exit code: 0 after a signal, 1 after a failure.
func serve(path string) int {
	defer klog.Flush()
	cfg, err := readConfig(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ebb-kube:", err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, cfg); err != nil && !errors.Is(err, context.Canceled) {
		klog.ErrorS(err, "Kubernetes ended")
		return 1
	}
	return 0
}
