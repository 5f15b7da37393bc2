package graph

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// The kinds of nodes besides those of streams and readers.
const (
	SenderNode     = "Sender"
	SubscriberNode = "Subscriber"
)

// Node is one party.
type Node struct {
	// ID tells it from all others: its kind and its name.
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Namespace and Name are an object's; of a sender Name is its source, empty for all that are not told apart, of a subscriber its URL.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Paused says that a reader delivers nothing.
	Paused bool `json:"paused,omitempty"`
}

// What goes along an edge.
const (
	// Sends: events that a Broker or Channel took from a sender.
	Sends = "sends"
	// Matches: events that passed a reader's filter.
	Matches = "matches"
	// Delivers: events that a subscriber took.
	Delivers = "delivers"
	// Replies: answers that were sent on.
	Replies = "replies"
	// DeadLetters: events that were given up and sent to a sink.
	DeadLetters = "dead-letters"
)

// Edge is what went from one node to another.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
	What string `json:"what"`
	// Events is how many, Last when it was last; nil if it never was.
	Events uint64     `json:"events"`
	Last   *time.Time `json:"last,omitempty"`
	// Retried are attempts that failed and were followed by another one, Dead events that were given up, of an edge that delivers.
	Retried uint64 `json:"retried,omitempty"`
	Dead    uint64 `json:"dead,omitempty"`
}

// Graph is who sends to whom.
type Graph struct {
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
}

// builder puts a graph together.
type builder struct {
	nodes map[string]Node
	edges map[[3]string]*Edge
	// streams and hosts find nodes of streams: by their IDs, and by the hosts that lead to them.
	streams map[model.StreamID]string
	hosts   map[string]string
}

// Build draws the graph. What is of a stream that is not there any more is left out.
func Build(streams []model.Stream, readers []dispatch.Reader, sent []Sent) Graph {
	b := &builder{nodes: map[string]Node{}, edges: map[[3]string]*Edge{}, streams: map[model.StreamID]string{}, hosts: map[string]string{}}
	for _, s := range streams {
		id := b.object(string(s.Kind), s.Key, false)
		b.streams[s.ID] = id
		for _, host := range s.Hosts {
			b.hosts[strings.ToLower(host)] = id
		}
	}
	for _, s := range sent {
		if to, ok := b.streams[s.Stream]; ok {
			b.edge(b.node(SenderNode, Node{Kind: SenderNode, Name: s.Source}), to, Sends, s.Events, s.Last)
		}
	}
	for _, r := range readers {
		b.reader(r)
	}
	return b.graph()
}

// node adds a node whose ID is its kind and what it is called there.
func (b *builder) node(kind string, n Node) string {
	n.ID = kind + " " + n.Name
	if n.Namespace != "" {
		n.ID = kind + " " + n.Namespace + "/" + n.Name
	}
	if old, has := b.nodes[n.ID]; !has || n.Paused && !old.Paused {
		b.nodes[n.ID] = n
	}
	return n.ID
}

func (b *builder) object(kind string, key model.Key, paused bool) string {
	return b.node(kind, Node{Kind: kind, Namespace: key.Namespace, Name: key.Name, Paused: paused})
}

// edge adds to what goes from one node to another; a Trigger that reads several partitions is several readers.
func (b *builder) edge(from, to, what string, events uint64, last time.Time) *Edge {
	key := [3]string{from, to, what}
	e := b.edges[key]
	if e == nil {
		e = &Edge{From: from, To: to, What: what}
		b.edges[key] = e
	}
	e.Events += events
	if !last.IsZero() && (e.Last == nil || last.After(*e.Last)) {
		e.Last = &last
	}
	return e
}

func (b *builder) reader(r dispatch.Reader) {
	base, _ := partition.Of(r.Stream)
	stream, ok := b.streams[base]
	if !ok {
		return
	}
	id := b.object(string(r.Kind), r.Key, r.Paused || r.Nowhere)
	b.edge(stream, id, Matches, r.Matched, r.MatchedAt)
	if r.Subscriber == "" {
		return
	}
	subscriber := b.destination(r.Subscriber)
	e := b.edge(id, subscriber, Delivers, r.Delivered, r.DeliveredAt)
	e.Retried += r.Retried
	e.Dead += r.DeadSink + r.DeadKept
	switch {
	case r.Reply != "":
		b.edge(subscriber, b.destination(r.Reply), Replies, r.Replied, r.RepliedAt)
	case r.Replied > 0:
		b.edge(subscriber, stream, Replies, r.Replied, r.RepliedAt)
	}
	if r.DeadLetter != "" {
		b.edge(id, b.destination(r.DeadLetter), DeadLetters, r.DeadSink, r.DeadAt)
	}
}

// destination is the Broker or Channel that a URL leads to, or a subscriber.
func (b *builder) destination(address string) string {
	if u, err := url.Parse(address); err == nil {
		host := strings.ToLower(u.Hostname())
		if id, ok := b.hosts[host]; ok {
			return id
		}
		if strings.HasPrefix(host, exposure.BrokerIngress+"."+exposure.Namespace+".") {
			id := string(model.Broker) + " " + strings.Trim(u.Path, "/")
			if _, ok := b.nodes[id]; ok {
				return id
			}
		}
		// Nobody's password belongs on a page.
		u.User = nil
		address = u.String()
	}
	return b.node(SubscriberNode, Node{Kind: SubscriberNode, Name: address})
}

// graph is what was put together, in an order that does not change.
func (b *builder) graph() Graph {
	g := Graph{Nodes: []Node{}, Edges: []Edge{}}
	for _, n := range b.nodes {
		g.Nodes = append(g.Nodes, n)
	}
	for _, e := range b.edges {
		g.Edges = append(g.Edges, *e)
	}
	slices.SortFunc(g.Nodes, func(x, y Node) int { return cmp.Compare(x.ID, y.ID) })
	slices.SortFunc(g.Edges, func(x, y Edge) int {
		return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To), cmp.Compare(x.What, y.What))
	})
	return g
}
