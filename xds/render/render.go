package render

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/xds/build"
	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/plan"
	"ebb.dev/ebb/xds/store"
)

// Render turns YAML documents into what Envoys get.
func Render(input io.Reader, options envoy.Options) ([]byte, error) {
	objects, err := decode(input)
	if err != nil {
		return nil, err
	}
	s := store.New()
	s.Write(func(tx *store.Tx) { err = fill(tx, objects) })
	if err != nil {
		return nil, err
	}
	return show(s.Read(), options)
}

func decode(input io.Reader) ([]runtime.Object, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{crds.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("make the scheme: %w", err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := utilyaml.NewYAMLReader(bufio.NewReader(input))
	var out []runtime.Object
	for i := 1; ; i++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		out = append(out, object)
	}
}

// fill writes the objects into the store, revisions and nodes before what refers to them.
func fill(tx *store.Tx, objects []runtime.Object) error {
	nodes := map[string]build.Node{}
	services := map[model.Key]*corev1.Service{}
	slices := map[model.Key][]*discoveryv1.EndpointSlice{}
	for _, object := range objects {
		switch o := object.(type) {
		case *servingv1.Revision:
			tx.SetRevision(build.Revision(o))
		case *corev1.Node:
			nodes[o.Name] = build.NodeOf(o)
		case *corev1.Service:
			services[model.Key{Namespace: o.Namespace, Name: o.Name}] = o
		case *discoveryv1.EndpointSlice:
			key := model.Key{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}
			slices[key] = append(slices[key], o)
		}
	}
	for _, object := range objects {
		switch o := object.(type) {
		case *corev1.Pod:
			revision, ok := tx.Revision(build.RevisionOf(o))
			if !ok {
				return fmt.Errorf("Pod %s/%s: its revision %s is not among the documents", o.Namespace, o.Name, build.RevisionOf(o))
			}
			replica := build.Replica(o, revision.Revision, nodes[o.Spec.NodeName], build.Known{}, tx.Taken(o.Spec.NodeName), nil)
			replica.Programmed, replica.Listening = true, true
			tx.SetReplica(replica)
		case *networkingv1alpha1.Ingress:
			vhosts, backends := build.VHosts(o, services[build.AsyncBackend.Service] != nil)
			for _, b := range backends {
				owner := model.Owner{Kind: "Service", Key: b.Service}
				tx.SetService(build.Service(b, owner, services[b.Service], slices[b.Service]))
			}
			if refused := tx.SetVHosts(build.IngressOwner(o), vhosts); len(refused) > 0 {
				return fmt.Errorf("Ingress %s/%s: another ingress has the hosts %v", o.Namespace, o.Name, refused)
			}
		}
	}
	return nil
}

// show lists what each kind of proxy gets, by resource name.
func show(view store.View, options envoy.Options) ([]byte, error) {
	gateway := map[string]map[string]proto.Message{"clusters": {}, "endpoints": {}, "virtualHosts": {}}
	held := []string{}
	for _, vhost := range view.VHosts() {
		out, active := plan.Variant(vhost, func(split model.Split) bool { return warm(view, split) })
		if !active {
			held = append(held, vhost.Name)
			continue
		}
		gateway["virtualHosts"][vhost.Name] = envoy.VirtualHost(*out)
	}
	proxies := map[string]map[string]map[string]proto.Message{}
	for _, revision := range view.Revisions() {
		replicas := view.ReplicasOf(revision.Key)
		if len(replicas) == 0 {
			continue
		}
		cluster := plan.RevisionCluster(options.TrustDomain, revision.Revision)
		gateway["clusters"][cluster.Name] = envoy.Cluster(options, cluster)
		gateway["endpoints"][cluster.Name] = envoy.Endpoints(plan.Endpoints(cluster.Name, replicas))
		for _, replica := range replicas {
			p, ok := proxies[replica.Proxy]
			if !ok {
				p = map[string]map[string]proto.Message{"clusters": {}, "listeners": {}}
				proxies[replica.Proxy] = p
			}
			p["clusters"][model.AppClusterName(replica.Pod)] = envoy.AppCluster(replica.Replica)
			if envoy.HoldsIdentity(options, replica.Replica) {
				p["clusters"][model.SVIDSecret(replica.Account())] = envoy.IdentityCluster(replica.Account())
			}
			p["listeners"][model.ReplicaName(replica.Pod)] = envoy.ReplicaListener(options, replica.Replica)
		}
	}
	for _, service := range view.Services() {
		gateway["clusters"][service.Cluster.Name] = envoy.Cluster(options, service.Cluster)
		gateway["endpoints"][service.Cluster.Name] = envoy.Endpoints(service.Endpoints)
	}
	sort.Strings(held)
	out := map[string]any{"held": held}
	var err error
	if out["gateway"], err = plain(gateway); err != nil {
		return nil, err
	}
	shown := map[string]any{}
	for id, p := range proxies {
		if shown[id], err = plain(p); err != nil {
			return nil, err
		}
	}
	out["replicaProxies"] = shown
	return yaml.Marshal(out)
}

func warm(view store.View, split model.Split) bool {
	if split.Revision.IsZero() {
		return true
	}
	for _, replica := range view.ReplicasOf(split.Revision) {
		if replica.Ready() {
			return true
		}
	}
	return false
}

// plain turns messages into values that YAML can show.
func plain(kinds map[string]map[string]proto.Message) (map[string]map[string]any, error) {
	out := map[string]map[string]any{}
	for kind, messages := range kinds {
		if len(messages) == 0 {
			continue
		}
		out[kind] = map[string]any{}
		for name, message := range messages {
			data, err := protojson.Marshal(message)
			if err != nil {
				return nil, fmt.Errorf("show %s: %w", name, err)
			}
			var value any
			if err := yaml.Unmarshal(data, &value); err != nil {
				return nil, fmt.Errorf("show %s: %w", name, err)
			}
			out[kind][name] = value
		}
	}
	return out, nil
}
