package main

import (
	"fmt"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

const (
	// etcdStart is how long etcd may take to replay its log.
	etcdStart = 60 * time.Second
	// snapshotEvery entries etcd writes a snapshot and frees the log before it: a laptop's cluster is small, its memory dear.
	snapshotEvery = 5000
)

// startEtcd serves the store on its unix socket and returns when it answers.
func startEtcd(cfg Etcd) (*embed.Etcd, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	// A socket left by a killed process would refuse the address.
	if err := os.Remove(cfg.Socket); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	e, err := embed.StartEtcd(etcdConfig(cfg))
	if err != nil {
		return nil, fmt.Errorf("etcd in %s: %w", cfg.DataDir, err)
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case err := <-e.Err():
		return nil, fmt.Errorf("etcd in %s: %w", cfg.DataDir, err)
	case <-time.After(etcdStart):
		e.Close()
		return nil, fmt.Errorf("etcd in %s: not ready after %s", cfg.DataDir, etcdStart)
	}
}

func etcdConfig(cfg Etcd) *embed.Config {
	// Advertised addresses must look like host:port although nobody dials them: there is one member and it has only its socket.
	nowhere := url.URL{Scheme: "http", Host: "localhost:1"}
	c := embed.NewConfig()
	c.Name = "ebb"
	c.Dir = cfg.DataDir
	c.ListenClientUrls = []url.URL{{Scheme: "unix", Path: cfg.Socket}}
	c.ListenPeerUrls = nil
	c.AdvertiseClientUrls = []url.URL{nowhere}
	c.AdvertisePeerUrls = []url.URL{nowhere}
	c.InitialCluster = c.Name + "=" + nowhere.String()
	c.LogLevel = "warn"
	c.LogOutputs = []string{"stderr"}
	c.Logger = "zap"
	// Zero, the default of the deprecated name, would win over the proper one and warn of every request.
	c.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	c.ExperimentalWarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	c.SnapshotCount = snapshotEvery
	c.SnapshotCatchUpEntries = snapshotEvery
	// One member elects itself at once; the interval only sets how soon.
	c.TickMs = 100
	c.ElectionMs = 500
	return c
}
