package broker

import (
	"context"
	"net"
	"net/url"
	"strings"

	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// plane is the logs, their ingress and the dispatcher as the controllers see them.
type plane struct {
	log     log.Log
	readers *partition.Readers
	streams *ingress.Registry
	// forget hears of streams that are gone.
	forget func(model.Stream)
}

func (p *plane) EnsureStream(ctx context.Context, stream model.Stream) error {
	if err := p.log.Ensure(ctx, stream); err != nil {
		return err
	}
	p.streams.Set(stream)
	return nil
}

func (p *plane) RemoveStream(ctx context.Context, id model.StreamID) error {
	s, known := p.streams.Stream(id)
	p.streams.Delete(id)
	err := p.log.Remove(ctx, id)
	if known {
		p.forget(s)
	}
	return err
}

func (p *plane) SetReader(ctx context.Context, reader model.Reader) error {
	return p.readers.Set(ctx, reader)
}

func (p *plane) RemoveReader(ctx context.Context, _ model.StreamID, id model.ReaderID) error {
	return p.readers.Remove(ctx, id)
}

// through sends what is inside the cluster by the gateway, and everything else directly.
func through(gateway, clusterDomain string) func(*url.URL) (dial string) {
	return func(u *url.URL) string {
		if u.Scheme != "http" || gateway == "" || !inside(u.Hostname(), clusterDomain) {
			return ""
		}
		return gateway
	}
}

// inside reports whether a name is that of a Service: name.namespace, name.namespace.svc or that and the cluster's domain.
func inside(host, clusterDomain string) bool {
	if net.ParseIP(host) != nil {
		return false
	}
	return strings.HasSuffix(host, ".svc."+clusterDomain) || strings.HasSuffix(host, ".svc")
}
