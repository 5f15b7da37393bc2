package cache

import (
	"fmt"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"ebb.dev/ebb/xds/model"
)

// Type is the type URL of a kind of resource.
type Type = string

// The kinds of resource that Ebb sends, in the order in which they go out when several changed at once: what is pointed
// at before what points at it.
const (
	Clusters     Type = resource.ClusterType
	Endpoints    Type = resource.EndpointType
	Listeners    Type = resource.ListenerType
	Routes       Type = resource.RouteType
	VirtualHosts Type = resource.VirtualHostType
)

var sendOrder = []Type{Clusters, Endpoints, Listeners, Routes, VirtualHosts}

// wildcard says which types a proxy gets whole. The others it names: endpoints follow its clusters, route
// configurations its listeners. VHDS opens with an empty subscription and means everything.
var wildcard = map[Type]bool{Clusters: true, Listeners: true, VirtualHosts: true}

// Row is one resource as a proxy gets it. Rows are immutable and shared between proxies.
type Row struct {
	Name    string
	Version string
	Owner   model.Owner
	body    *anypb.Any
}

// NewRow encodes a message. The encoding is deterministic, so equal messages have equal versions.
func NewRow(name string, owner model.Owner, message proto.Message) (*Row, error) {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode %s of %s: %w", name, owner, err)
	}
	return &Row{
		Name:    name,
		Version: strconv.FormatUint(xxhash.Sum64(value), 36),
		Owner:   owner,
		body:    &anypb.Any{TypeUrl: "type.googleapis.com/" + string(message.ProtoReflect().Descriptor().FullName()), Value: value},
	}, nil
}

// Body is the encoded message. It must not be changed.
func (r *Row) Body() *anypb.Any { return r.body }

// Change is a set of rows of one type to put and names to delete.
type Change struct {
	Type   Type
	Put    []*Row
	Delete []string
}

// Refusal is a proxy's NACK of one row.
type Refusal struct {
	Proxy   string
	Type    Type
	Name    string
	Version string
	Owner   model.Owner
	Message string
}

func (r Refusal) Error() string {
	return fmt.Sprintf("%s: proxy %s refuses %s: %s", r.Owner, r.Proxy, r.Name, r.Message)
}
