package main

import (
	"errors"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/interp"
)

func TestTheShellRunsWhatManifestsSay(t *testing.T) {
	for script, want := range map[string]string{
		`echo one; echo "two $1"`:                         "one\ntwo arg\n",
		`for i in 1 2 3; do echo $i; done`:                "1\n2\n3\n",
		`x=$(echo in); [ "$x" = in ] && echo yes || echo`: "yes\n",
	} {
		var out strings.Builder
		if err := run(t.Context(), []string{"-c", script, "sh", "arg"}, strings.NewReader(""), &out, &out); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v", script, out.String(), err)
		}
	}
	var status interp.ExitStatus
	if err := run(t.Context(), []string{"-c", "exit 3"}, strings.NewReader(""), nil, nil); !errors.As(err, &status) || status != 3 {
		t.Errorf("exit: %v", err)
	}
}
