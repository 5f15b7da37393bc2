package main

import (
	"os"
	"strings"
	"testing"
)

// The golden is written by the test of deploy/local/kube, the writer of real configurations.
func TestTheWritersConfigurationIsRead(t *testing.T) {
	cfg, err := readConfig("testdata/config.json")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Kubelet == nil || cfg.Kubelet.NodeName != "laptop" || cfg.Proxy == nil || cfg.DNS == nil || !cfg.Kubelet.Restricted {
		t.Errorf("%+v", cfg)
	}
}

func TestAnUnknownFieldIsAnError(t *testing.T) {
	data, err := os.ReadFile("testdata/config.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseConfig([]byte(strings.Replace(string(data), `"etcd"`, `"etdc"`, 1))); err == nil {
		t.Error("accepted")
	}
}

func TestAnIncompleteConfigurationNamesTheField(t *testing.T) {
	_, err := parseConfig([]byte(`{"etcd": {"dataDir": "/d", "socket": "/s"}, "apiServer": {}}`))
	if err == nil || !strings.Contains(err.Error(), "apiServer.listen") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	data, err := os.ReadFile("testdata/config.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if cfg, err := parseConfig(data); err == nil && cfg.validate() != nil {
			t.Error("an invalid configuration was accepted")
		}
	})
}
