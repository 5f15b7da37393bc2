package flow

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func sequenceChild(sequence string, step int) string {
	return fmt.Sprintf("%s-kn-sequence-%d", sequence, step)
}

func parallelChild(parallel string) string { return parallel + "-kn-parallel" }

// EntranceOf names the first channel of a Sequence or a Parallel: what is sent to the flow is sent there.
func EntranceOf(kind schema.GroupKind, name string) string {
	if kind == parallelKind.GroupKind() {
		return parallelChild(name)
	}
	return sequenceChild(name, 0)
}
