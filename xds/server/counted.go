package server

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"

	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/hold"
)

// counted receives the ends of requests that the hold let go and counts against a revision's slots.
type counted struct {
	accesslogv3.UnimplementedAccessLogServiceServer
	trustDomain string
	hold        *hold.Hold
}

// StreamAccessLogs is one gateway's stream. Only its first message says which gateway it is.
func (c *counted) StreamAccessLogs(stream accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	var gateway string
	for {
		message, err := stream.Recv()
		if err != nil {
			if gateway != "" {
				c.hold.Lost(gateway)
			}
			return err
		}
		if gateway == "" {
			if gateway, err = proxyOf(stream.Context(), c.trustDomain, message.GetIdentifier().GetNode().GetId()); err != nil {
				return err
			}
		}
		for _, entry := range message.GetHttpLogs().GetLogEntry() {
			if revision, ok := envoy.CountedRevision(entry.GetCommonProperties().GetMetadata()); ok {
				c.hold.Done(gateway, revision)
			}
		}
	}
}
