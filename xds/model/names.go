package model

import (
	"fmt"
	"strings"
)

// Key names a namespaced object. Its text form, "namespace/name", is what logs, metrics and Envoy resources carry.
type Key struct {
	Namespace, Name string
}

func (k Key) String() string { return k.Namespace + "/" + k.Name }

// IsZero reports whether the key names nothing.
func (k Key) IsZero() bool { return k == Key{} }

// ParseKey reads "namespace/name".
func ParseKey(s string) (Key, error) {
	namespace, name, ok := strings.Cut(s, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return Key{}, fmt.Errorf("%q is not of the form namespace/name", s)
	}
	return Key{Namespace: namespace, Name: name}, nil
}

// Owner is the API object that a resource was made from, so that a proxy's refusal can be told where a user looks.
type Owner struct {
	Kind string
	Key  Key
}

func (o Owner) String() string { return o.Kind + " " + o.Key.String() }

// RouteConfig names one of the two route configurations of a gateway.
type RouteConfig string

const (
	// External is reached from outside the cluster.
	External RouteConfig = "external"
	// Internal is reached from pods: cluster-local hosts.
	Internal RouteConfig = "internal"
)

// RouteConfigs lists all route configurations of a gateway.
func RouteConfigs() []RouteConfig { return []RouteConfig{External, Internal} }

const (
	clusterPrefix  = "cluster|"
	servicePrefix  = "service|"
	replicaPrefix  = "replica|"
	appPrefix      = "app|"
	revisionPrefix = "revision|"
)

// ClusterName is the gateway's cluster of a revision: "cluster|default/hello-world-v2|http1".
func ClusterName(revision Key, protocol Protocol) string {
	return clusterPrefix + revision.String() + "|" + string(protocol)
}

// ParseClusterName undoes ClusterName.
func ParseClusterName(name string) (Key, Protocol, error) {
	rest, ok := strings.CutPrefix(name, clusterPrefix)
	key, protocol, both := strings.Cut(rest, "|")
	if !ok || !both {
		return Key{}, "", fmt.Errorf("%q is not the name of a revision's cluster", name)
	}
	revision, err := ParseKey(key)
	if err != nil {
		return Key{}, "", err
	}
	switch Protocol(protocol) {
	case HTTP1, H2C:
		return revision, Protocol(protocol), nil
	}
	return Key{}, "", fmt.Errorf("%q names no protocol of ours", protocol)
}

// ServiceClusterName is the gateway's cluster of a plain Kubernetes Service port: "service|default/echo|8080".
func ServiceClusterName(service Key, port string) string {
	return servicePrefix + service.String() + "|" + port
}

// ReplicaName is the listener of a replica at its proxy: "replica|default/hello-world-v2-6c9f-x2x".
func ReplicaName(pod Key) string { return replicaPrefix + pod.String() }

// ParseReplicaName undoes ReplicaName.
func ParseReplicaName(name string) (Key, error) {
	rest, ok := strings.CutPrefix(name, replicaPrefix)
	if !ok {
		return Key{}, fmt.Errorf("%q is not the name of a replica", name)
	}
	return ParseKey(rest)
}

// AppClusterName is the replica proxy's cluster of the app in one pod: "app|default/hello-world-v2-6c9f-x2x".
func AppClusterName(pod Key) string { return appPrefix + pod.String() }

// ParseAppClusterName undoes AppClusterName.
func ParseAppClusterName(name string) (Key, error) {
	rest, ok := strings.CutPrefix(name, appPrefix)
	if !ok {
		return Key{}, fmt.Errorf("%q is not the name of an app's cluster", name)
	}
	return ParseKey(rest)
}

// RevisionStat is the statistics name that all replicas of a revision share on one proxy, so that a proxy reports one
// row a revision and not one a replica.
func RevisionStat(revision Key) string { return revisionPrefix + revision.String() }

// ParseRevisionStat undoes RevisionStat.
func ParseRevisionStat(s string) (Key, error) {
	rest, ok := strings.CutPrefix(s, revisionPrefix)
	if !ok {
		return Key{}, fmt.Errorf("%q is not the statistics name of a revision", s)
	}
	return ParseKey(rest)
}

// VHostName is the resource name of a virtual host; VHDS keys are <route configuration>/<host>, and the message's own
// name must equal it or its removal is ignored by Envoy.
func VHostName(config RouteConfig, host string) string { return string(config) + "/" + host }
