package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"k8s.io/klog/v2"

	// The plugins a Corefile may name.
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/local"
	_ "github.com/coredns/coredns/plugin/template"
)

// giveLoggerBack is a directive of our own that runs behind kubernetes: that plugin takes the logger of the whole process for itself.
const giveLoggerBack = "givelogger"

// loggerBack is closed once that has been done.
var loggerBack = make(chan struct{})

func init() {
	dnsserver.Directives = append(dnsserver.Directives, giveLoggerBack)
	given := sync.OnceFunc(func() { close(loggerBack) })
	caddy.RegisterPlugin(giveLoggerBack, caddy.Plugin{ServerType: "dns", Action: func(*caddy.Controller) error {
		klog.ClearLogger()
		given()
		return nil
	}})
}

// afterLogger runs what sends the standard logger through klog, as kube-proxy does: not before CoreDNS sends klog through the standard logger
// no more. With both, whoever logs first waits for itself, and soon everybody for them.
func afterLogger(ctx context.Context, run func(context.Context) error) error {
	select {
	case <-loggerBack:
		return run(ctx)
	case <-ctx.Done():
		return nil
	}
}

// runDNS answers the names of Services until ctx ends.
func runDNS(ctx context.Context, cfg *DNS) error {
	caddy.Quiet = true
	dnsserver.Quiet = true
	instance, err := caddy.Start(caddy.CaddyfileInput{
		Filepath: "Corefile", Contents: []byte(corefile(cfg)), ServerTypeName: "dns",
	})
	if err != nil {
		return fmt.Errorf("on %s: %w", strings.Join(cfg.Listen, ", "), err)
	}
	<-ctx.Done()
	return instance.Stop()
}

// corefile is CoreDNS's configuration. Without a forwarder every name outside the cluster is answered "does not exist" at once: a look-up
// that waits for an unreachable server would hold up each program that tries its search domains first.
func corefile(cfg *DNS) string {
	bind := strings.Join(cfg.Listen, " ")
	outside := "    template ANY ANY {\n        rcode NXDOMAIN\n    }\n"
	if len(cfg.Forward) > 0 {
		outside = fmt.Sprintf("    forward . %s\n    cache 30\n", strings.Join(cfg.Forward, " "))
	}
	return fmt.Sprintf(`%[1]s:53 in-addr.arpa:53 ip6.arpa:53 {
    bind %[2]s
    errors
    kubernetes %[1]s in-addr.arpa ip6.arpa {
        kubeconfig %[3]s
        pods insecure
        ttl 5
    }
    %[4]s
}
.:53 {
    bind %[2]s
    errors
    local
%[5]s}
`, cfg.Domain, bind, cfg.Kubeconfig, giveLoggerBack, outside)
}
