// Command tools writes what is generated from the Go types of crds: deep copies beside them and CustomResourceDefinitions in
// crds/manifests. It runs with `go generate ./crds/...` and has a module of its own, so that its dependencies stay out of Ebb's.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"sigs.k8s.io/controller-tools/pkg/deepcopy"
	"sigs.k8s.io/controller-tools/pkg/genall"
)

func main() {
	root := flag.String("root", ".", "folder of the module to generate for")
	packages := flag.String("packages", "./crds/...", "packages with the types, as go list names them")
	manifests := flag.String("manifests", "crds/manifests", "folder for the CustomResourceDefinitions, inside root")
	fields := flag.String("fields", "crds/serving/podspec/fields.yaml", "the table of the pod's fields that revisions have, inside root")
	flag.Parse()
	if err := run(*root, *packages, *manifests, *fields); err != nil {
		fmt.Fprintln(os.Stderr, "crds/tools:", err)
		os.Exit(1)
	}
}

func run(root, packages, manifests, fields string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := writeDeepCopies(packages); err != nil {
		return err
	}
	table, err := readTable(fields)
	if err != nil {
		return err
	}
	return writeManifests(packages, manifests, table)
}

func writeDeepCopies(packages string) error {
	var generator genall.Generator = deepcopy.Generator{}
	runtime, err := genall.Generators{&generator}.ForRoots(packages)
	if err != nil {
		return fmt.Errorf("load %s: %w", packages, err)
	}
	runtime.OutputRules = genall.OutputRules{Default: genall.OutputArtifacts{}}
	if hadErrors := runtime.Run(); hadErrors {
		return errors.New("deep copies: see the errors above")
	}
	return nil
}
