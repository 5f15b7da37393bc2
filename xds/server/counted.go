package server

import (
	"sync"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"

	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/model"
)

// slots are what the ends of counted requests free: the hold's.
type slots interface {
	Done(gateway string, revision model.Key)
	Lost(gateway string)
}

// counted receives the ends of requests that the hold let go and counts against a revision's slots.
type counted struct {
	accesslogv3.UnimplementedAccessLogServiceServer
	authorize hold.Authorize
	slots     slots

	mu sync.Mutex
	// streams counts them by gateway: each worker of an Envoy has its own.
	streams map[string]int
}

func newCounted(authorize hold.Authorize, s slots) *counted {
	return &counted{authorize: authorize, slots: s, streams: map[string]int{}}
}

// StreamAccessLogs is one stream of a gateway. Only its first message says which gateway it is.
func (c *counted) StreamAccessLogs(stream accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	gateway, err := c.authorize(stream.Context(), first.GetIdentifier().GetNode().GetId())
	if err != nil {
		return err
	}
	c.begin(gateway)
	defer c.end(gateway)
	for message := first; ; {
		for _, entry := range message.GetHttpLogs().GetLogEntry() {
			if revision, ok := envoy.CountedRevision(entry.GetCommonProperties().GetMetadata()); ok {
				c.slots.Done(gateway, revision)
			}
		}
		if message, err = stream.Recv(); err != nil {
			return err
		}
	}
}

func (c *counted) begin(gateway string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams[gateway]++
}

// end gives a gateway up when none of its streams is left.
func (c *counted) end(gateway string) {
	c.mu.Lock()
	c.streams[gateway]--
	last := c.streams[gateway] == 0
	if last {
		delete(c.streams, gateway)
	}
	c.mu.Unlock()
	if last {
		c.slots.Lost(gateway)
	}
}
