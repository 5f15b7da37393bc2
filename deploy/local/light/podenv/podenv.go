// Package podenv works out a container's environment and command line from its pod, as the kubelet does.
//
// In: a pod, its container, a Source of ConfigMaps and Secrets, and facts of the node. Out: KEY=value in order, and arguments with $(VAR) expanded.
//
// Hard rule: nothing here starts or stores anything, and an error names the object and key that is missing, in the kubelet's words: users search
// for them.
package podenv

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Source has the objects that values come from. It returns an error that satisfies apierrors.IsNotFound for what is not there.
type Source interface {
	ConfigMap(namespace, name string) (*corev1.ConfigMap, error)
	Secret(namespace, name string) (*corev1.Secret, error)
}

// Facts are what fieldRefs may ask for that the pod object does not hold yet.
type Facts struct {
	NodeName string
	HostIP   string
	PodIP    string
	// Allocatable stands in for limits that a container does not set.
	Allocatable corev1.ResourceList
}

// Expand replaces $(NAME) by lookup's answer; a name it does not know stays as it is written, and $$ is a dollar.
func Expand(s string, lookup func(string) (string, bool)) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if s[i+1] == '$' {
			b.WriteByte('$')
			i++
			continue
		}
		end := -1
		if s[i+1] == '(' {
			end = strings.IndexByte(s[i+2:], ')')
		}
		if end < 0 {
			b.WriteByte('$')
			continue
		}
		name := s[i+2 : i+2+end]
		if v, ok := lookup(name); ok {
			b.WriteString(v)
		} else {
			b.WriteString(s[i : i+2+end+1])
		}
		i += 2 + end
	}
	return b.String()
}

// ExpandAll expands every argument with the values of env (KEY=value, the last of a key counts).
func ExpandAll(args, env []string) []string {
	values := map[string]string{}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		values[k] = v
	}
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = Expand(a, func(name string) (string, bool) { v, ok := values[name]; return v, ok })
	}
	return out
}

// Environment builds what the container is started with: base (the services' variables), then envFrom, then env, later ones winning.
func Environment(pod *corev1.Pod, c *corev1.Container, base map[string]string, src Source, f Facts) ([]string, error) {
	values := maps.Clone(base)
	if values == nil {
		values = map[string]string{}
	}
	for _, from := range c.EnvFrom {
		if err := addFrom(values, pod.Namespace, from, src); err != nil {
			return nil, err
		}
	}
	for _, e := range c.Env {
		v, ok, err := value(pod, c, e, values, src, f)
		if err != nil {
			return nil, err
		}
		if ok {
			values[e.Name] = v
		}
	}
	var env []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		env = append(env, k+"="+values[k])
	}
	return env, nil
}

func addFrom(values map[string]string, namespace string, from corev1.EnvFromSource, src Source) error {
	switch {
	case from.ConfigMapRef != nil:
		cm, err := src.ConfigMap(namespace, from.ConfigMapRef.Name)
		if err != nil {
			return unlessOptional(from.ConfigMapRef.Optional, err)
		}
		for k, v := range cm.Data {
			values[from.Prefix+k] = v
		}
	case from.SecretRef != nil:
		s, err := src.Secret(namespace, from.SecretRef.Name)
		if err != nil {
			return unlessOptional(from.SecretRef.Optional, err)
		}
		for k, v := range s.Data {
			values[from.Prefix+k] = string(v)
		}
	}
	return nil
}

func unlessOptional(optional *bool, err error) error {
	if optional != nil && *optional {
		return nil
	}
	return err
}

// value works out one variable; ok is false where an optional source is missing and the variable is not set.
func value(pod *corev1.Pod, c *corev1.Container, e corev1.EnvVar, so map[string]string, src Source, f Facts) (string, bool, error) {
	if e.ValueFrom == nil {
		return Expand(e.Value, func(n string) (string, bool) { v, ok := so[n]; return v, ok }), true, nil
	}
	switch from := e.ValueFrom; {
	case from.FieldRef != nil:
		v, err := Field(pod, from.FieldRef.FieldPath, f)
		return v, true, err
	case from.ResourceFieldRef != nil:
		v, err := Resource(pod, c, from.ResourceFieldRef, f)
		return v, true, err
	case from.ConfigMapKeyRef != nil:
		r := from.ConfigMapKeyRef
		cm, err := src.ConfigMap(pod.Namespace, r.Name)
		if err == nil {
			if v, ok := cm.Data[r.Key]; ok {
				return v, true, nil
			}
			err = fmt.Errorf("couldn't find key %s in ConfigMap %s/%s", r.Key, pod.Namespace, r.Name)
		}
		return "", false, unlessOptional(r.Optional, err)
	case from.SecretKeyRef != nil:
		r := from.SecretKeyRef
		s, err := src.Secret(pod.Namespace, r.Name)
		if err == nil {
			if v, ok := s.Data[r.Key]; ok {
				return string(v), true, nil
			}
			err = fmt.Errorf("couldn't find key %s in Secret %s/%s", r.Key, pod.Namespace, r.Name)
		}
		return "", false, unlessOptional(r.Optional, err)
	}
	return "", false, fmt.Errorf("variable %s: its source is not one that this node knows", e.Name)
}

// Field reads a field as fieldRef names it: metadata.name, metadata.labels['app'], status.podIP.
func Field(pod *corev1.Pod, path string, f Facts) (string, error) {
	if kind, key, ok := strings.Cut(path, "['"); ok && strings.HasSuffix(key, "']") {
		key = strings.TrimSuffix(key, "']")
		switch kind {
		case "metadata.labels":
			return pod.Labels[key], nil
		case "metadata.annotations":
			return pod.Annotations[key], nil
		}
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return formatMap(pod.Labels), nil
	case "metadata.annotations":
		return formatMap(pod.Annotations), nil
	case "spec.nodeName":
		return f.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.hostIPs":
		return f.HostIP, nil
	case "status.podIP", "status.podIPs":
		return f.PodIP, nil
	}
	return "", fmt.Errorf("field path %q is not one that pods may ask for", path)
}

// formatMap writes labels as the downward API does: key="value", a line each, sorted.
func formatMap(m map[string]string) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s=%q", k, m[k])
	}
	return b.String()
}

// Resource reads a limit or request as resourceFieldRef names it, in units of its divisor, rounded up. A limit that is not set is the node's allocatable.
func Resource(pod *corev1.Pod, c *corev1.Container, r *corev1.ResourceFieldSelector, f Facts) (string, error) {
	if r.ContainerName != "" {
		c = findContainer(pod, r.ContainerName)
		if c == nil {
			return "", fmt.Errorf("container %s not found", r.ContainerName)
		}
	}
	if c == nil {
		return "", fmt.Errorf("resource %s: containerName is missing", r.Resource)
	}
	kind, name, _ := strings.Cut(r.Resource, ".")
	var list corev1.ResourceList
	switch kind {
	case "limits":
		list = c.Resources.Limits
	case "requests":
		list = c.Resources.Requests
	default:
		return "", fmt.Errorf("resource %q: write limits.NAME or requests.NAME", r.Resource)
	}
	q, ok := list[corev1.ResourceName(name)]
	if !ok && kind == "limits" {
		q = f.Allocatable[corev1.ResourceName(name)]
	}
	divisor := r.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	if name == string(corev1.ResourceCPU) {
		return ceilDiv(q.MilliValue(), divisor.MilliValue()), nil
	}
	return ceilDiv(q.Value(), divisor.Value()), nil
}

func ceilDiv(a, b int64) string {
	if b <= 0 {
		b = 1
	}
	n := a / b
	if a%b != 0 {
		n++
	}
	return strconv.FormatInt(n, 10)
}

func findContainer(pod *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// Services gives the variables that tell programs of the Services in their namespace (service links) and, always, of Kubernetes itself.
func Services(services []*corev1.Service) map[string]string {
	env := map[string]string{}
	for _, s := range services {
		if s.Spec.ClusterIP == "" || s.Spec.ClusterIP == corev1.ClusterIPNone || len(s.Spec.Ports) == 0 {
			continue
		}
		prefix := strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
		port := strconv.Itoa(int(s.Spec.Ports[0].Port))
		env[prefix+"_SERVICE_HOST"] = s.Spec.ClusterIP
		env[prefix+"_SERVICE_PORT"] = port
		for i, p := range s.Spec.Ports {
			number := strconv.Itoa(int(p.Port))
			protocol := strings.ToLower(string(p.Protocol))
			if protocol == "" {
				protocol = "tcp"
			}
			url := protocol + "://" + s.Spec.ClusterIP + ":" + number
			if p.Name != "" {
				env[prefix+"_SERVICE_PORT_"+strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_"))] = number
			}
			if i == 0 {
				env[prefix+"_PORT"] = url
			}
			link := prefix + "_PORT_" + number + "_" + strings.ToUpper(protocol)
			env[link], env[link+"_PROTO"], env[link+"_PORT"], env[link+"_ADDR"] = url, protocol, number, s.Spec.ClusterIP
		}
	}
	return env
}
