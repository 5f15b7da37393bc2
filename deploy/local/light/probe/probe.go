// Package probe runs a container's startup, readiness and liveness probes as the kubelet does.
//
// In: a probe of the pod, the pod's address, a way to run a command. Out: results, and through a Counter the verdict after the thresholds.
//
// Hard rule: a probe has its timeout and nothing waits for it beyond that.
package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Target is what a probe is aimed at.
type Target struct {
	IP    string
	Ports []corev1.ContainerPort
	// Exec runs a command in the container and returns its output and exit code.
	Exec func(ctx context.Context, command []string) (output string, code int, err error)
}

// Once probes one time. An error says what was wrong, in the kubelet's words.
func Once(ctx context.Context, p corev1.ProbeHandler, timeout time.Duration, t Target) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		return httpGet(ctx, p.HTTPGet, t)
	case p.TCPSocket != nil:
		port, err := Port(p.TCPSocket.Port, t.Ports)
		if err != nil {
			return err
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(orElse(p.TCPSocket.Host, t.IP), port))
		if err != nil {
			return err
		}
		return conn.Close()
	case p.GRPC != nil:
		return grpcCheck(ctx, p.GRPC, t)
	case p.Exec != nil:
		out, code, err := t.Exec(ctx, p.Exec.Command)
		if ctx.Err() != nil {
			return fmt.Errorf("command timed out: %q timed out after %s", strings.Join(p.Exec.Command, " "), timeout)
		}
		if err != nil {
			return err
		}
		if code != 0 {
			return fmt.Errorf("%s", strings.TrimSpace(out))
		}
	}
	return nil
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// Port finds the number of a port given by number or name.
func Port(p intstr.IntOrString, ports []corev1.ContainerPort) (string, error) {
	if p.Type == intstr.Int {
		return strconv.Itoa(int(p.IntVal)), nil
	}
	for _, c := range ports {
		if c.Name == p.StrVal {
			return strconv.Itoa(int(c.ContainerPort)), nil
		}
	}
	if _, err := strconv.ParseUint(p.StrVal, 10, 16); err == nil {
		return p.StrVal, nil
	}
	return "", fmt.Errorf("port %q is not one of the container's", p.StrVal)
}

// client follows redirects on the same host only, takes any certificate and keeps no connection, as the kubelet's.
var client = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // a probe asks whether it answers, not who
	CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if r.URL.Hostname() != via[0].URL.Hostname() || len(via) >= 10 {
			return http.ErrUseLastResponse
		}
		return nil
	},
}

func httpGet(ctx context.Context, g *corev1.HTTPGetAction, t Target) error {
	port, err := Port(g.Port, t.Ports)
	if err != nil {
		return err
	}
	scheme := strings.ToLower(string(g.Scheme))
	url := orElse(scheme, "http") + "://" + net.JoinHostPort(orElse(g.Host, t.IP), port) + "/" + strings.TrimPrefix(g.Path, "/")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "kube-probe/1.36")
	r.Header.Set("Accept", "*/*")
	for _, h := range g.HTTPHeaders {
		r.Header.Set(h.Name, h.Value)
		if strings.EqualFold(h.Name, "host") {
			r.Host = h.Value
		}
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 10<<10) // the status is the answer
	if resp.StatusCode >= 200 && resp.StatusCode < 400 {
		return nil
	}
	return fmt.Errorf("HTTP probe failed with statuscode: %d", resp.StatusCode)
}

func grpcCheck(ctx context.Context, g *corev1.GRPCAction, t Target) error {
	conn, err := grpc.NewClient(net.JoinHostPort(t.IP, strconv.Itoa(int(g.Port))), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent("kube-probe/1.36"))
	if err != nil {
		return err
	}
	defer conn.Close()
	service := ""
	if g.Service != nil {
		service = *g.Service
	}
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		return err
	}
	if resp.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("service unhealthy (responded with %q)", resp.Status)
	}
	return nil
}

// Counter applies the thresholds: the verdict changes after so many results of one kind in a row.
type Counter struct {
	Success, Failure int32 // thresholds, at least 1
	last             bool
	run              int32
}

// Add counts a result. changed says that a threshold is reached; ok is then the verdict.
func (c *Counter) Add(ok bool) (reached bool) {
	if ok == c.last && c.run > 0 {
		c.run++
	} else {
		c.last, c.run = ok, 1
	}
	if ok {
		return c.run >= max(c.Success, 1)
	}
	return c.run >= max(c.Failure, 1)
}

// Loop probes until ctx ends: after the initial delay, then every period. report is called when a threshold is reached, with what was wrong,
// and each failure is told to failed. A report that returns false ends the loop.
func Loop(ctx context.Context, p *corev1.Probe, t Target, failed func(error), report func(ok bool) bool) {
	counter := Counter{Success: p.SuccessThreshold, Failure: p.FailureThreshold}
	if counter.Failure == 0 {
		counter.Failure = 3
	}
	period := seconds(p.PeriodSeconds, 10)
	timer := time.NewTimer(time.Duration(p.InitialDelaySeconds) * time.Second)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		timer.Reset(period)
		err := Once(ctx, p.ProbeHandler, seconds(p.TimeoutSeconds, 1), t)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failed(err)
		}
		if counter.Add(err == nil) && !report(err == nil) {
			return
		}
	}
}

func seconds(n, otherwise int32) time.Duration {
	if n <= 0 {
		n = otherwise
	}
	return time.Duration(n) * time.Second
}
