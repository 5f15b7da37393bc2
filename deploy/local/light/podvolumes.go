package light

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"ebb.dev/ebb/deploy/local/light/volume"
)

// boundTokenDelay is when a pod's own tokens replace the account's shared ones: after the rush of its start.
const boundTokenDelay = 2 * time.Second

// podSource gives a pod's volumes their objects, and its tokens.
type podSource struct {
	*objects
	pod *pod
	// bound asks for tokens that are bound to the pod; without it a start takes what is there.
	bound bool
}

// Token implements volume.Source.
func (s podSource) Token(obj *corev1.Pod, t *corev1.ServiceAccountTokenProjection) (string, error) {
	p := s.pod
	key := t.Audience + "|" + t.Path
	p.mu.Lock()
	have, ok := p.tokens[key]
	p.mu.Unlock()
	if ok && time.Now().Before(have.refresh) {
		return have.value, nil
	}
	if !s.bound && !ok {
		if shared, ok := s.sharedToken(p.ctx, obj, t); ok {
			return shared.value, nil
		}
	}
	fresh, err := s.request(p.ctx, obj, t, true)
	if err != nil {
		return "", fmt.Errorf("failed to fetch token: %w", err)
	}
	p.mu.Lock()
	p.tokens[key] = fresh
	p.mu.Unlock()
	return fresh.value, nil
}

func (p *pod) prepareVolumes(obj *corev1.Pod) error {
	var group *int64
	if sc := obj.Spec.SecurityContext; sc != nil {
		group = sc.FSGroup
	}
	for i := range obj.Spec.Volumes {
		v := &obj.Spec.Volumes[i]
		path, err := volume.Prepare(p.volumeDir(v), obj, v, podSource{p.m.objects, p, false}, p.facts(), group)
		if err != nil {
			return err
		}
		p.volumes[v.Name] = path
	}
	return nil
}

// volumeDir is where a volume lies: what programs fill on disk, what comes from the API in memory.
func (p *pod) volumeDir(v *corev1.Volume) string {
	if volume.FromAPI(v) {
		return filepath.Join(p.inMemory, "volumes")
	}
	return filepath.Join(p.dir, "volumes")
}

func (p *pod) wakeVolumes() {
	select {
	case p.volumeWake <- struct{}{}:
	default:
	}
}

// keepVolumes brings the volumes that follow API objects up to date when those change, and tokens before they end.
func (p *pod) keepVolumes() {
	obj := p.object()
	if !hasAPIVolumes(obj) {
		return
	}
	first := time.After(boundTokenDelay)
	bound := false
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.deleted:
			return
		case <-first:
			bound = true
		case <-p.volumeWake:
		}
		obj = p.object()
		for i := range obj.Spec.Volumes {
			v := &obj.Spec.Volumes[i]
			if !volume.FromAPI(v) {
				continue
			}
			err := volume.Update(p.volumeDir(v), obj, v, podSource{p.m.objects, p, bound}, p.facts())
			if err != nil && p.ctx.Err() == nil {
				p.m.Log.Warn("volume not brought up to date", "pod", p.key(), "volume", v.Name, "err", err)
			}
		}
	}
}

// writeNames writes the pod's hosts, resolv.conf and hostname.
func (p *pod) writeNames(obj *corev1.Pod) error {
	hostname := p.hostname()
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	name := hostname
	if obj.Spec.Subdomain != "" {
		name = hostname + "." + obj.Spec.Subdomain + "." + p.namespace + ".svc." + p.domain() + "\t" + hostname
	}
	fmt.Fprintf(&hosts, "%s\t%s\n", p.ip, name)
	for _, a := range obj.Spec.HostAliases {
		fmt.Fprintf(&hosts, "%s\t%s\n", a.IP, strings.Join(a.Hostnames, "\t"))
	}
	for file, content := range map[string]string{"hosts": hosts.String(), "hostname": hostname + "\n", "resolv.conf": p.resolver(obj)} {
		if err := os.WriteFile(filepath.Join(p.inMemory, file), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (p *pod) domain() string { return cmp.Or(p.m.ClusterDomain, "cluster.local") }

func (p *pod) hostname() string {
	obj := p.object()
	const longest = 63 // the kernel's
	return cmp.Or(obj.Spec.Hostname, strings.TrimRight(p.name[:min(len(p.name), longest)], "-."))
}

// resolver is the pod's resolv.conf by its DNS policy.
func (p *pod) resolver(obj *corev1.Pod) string {
	var servers, search, options []string
	policy := cmp.Or(obj.Spec.DNSPolicy, corev1.DNSClusterFirst)
	if policy == corev1.DNSDefault || policy == corev1.DNSClusterFirst && (len(p.m.Nameservers) == 0 || obj.Spec.HostNetwork) {
		host, err := os.ReadFile("/etc/resolv.conf")
		if err == nil && obj.Spec.DNSConfig == nil {
			return string(host)
		}
	} else if policy != corev1.DNSNone {
		servers = p.m.Nameservers
		search = []string{p.namespace + ".svc." + p.domain(), "svc." + p.domain(), p.domain()}
		options = []string{"ndots:5"}
	}
	if c := obj.Spec.DNSConfig; c != nil {
		servers, search = append(servers, c.Nameservers...), append(search, c.Searches...)
		for _, o := range c.Options {
			if o.Value != nil {
				o.Name += ":" + *o.Value
			}
			options = append(options, o.Name)
		}
	}
	var b strings.Builder
	if len(search) > 0 {
		b.WriteString("search " + strings.Join(search, " ") + "\n")
	}
	for _, s := range servers {
		b.WriteString("nameserver " + s + "\n")
	}
	if len(options) > 0 {
		b.WriteString("options " + strings.Join(options, " ") + "\n")
	}
	return b.String()
}
