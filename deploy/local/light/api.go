package light

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	authzv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/deploy/local/light/podlog"
)

const readHeaderTimeout = 10 * time.Second

// apiServer is the kubelet's API, for the API server's logs, exec, attach and port-forward.
type apiServer struct {
	m *manager

	mu      sync.Mutex
	allowed map[string]time.Time // who may, until when that is believed
}

const authorizationTTL = time.Minute

func (n *node) newAPIServer(m *manager) (*http.Server, error) {
	certificate, err := tls.LoadX509KeyPair(n.CertFile, n.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("kubelet API: %w", err)
	}
	ca, err := os.ReadFile(n.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("kubelet API: client CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("kubelet API: client CA: %s holds no certificate", n.ClientCAFile)
	}
	a := &apiServer{m: m, allowed: map[string]time.Time{}}
	return &http.Server{
		Handler: a.handler(), ReadHeaderTimeout: readHeaderTimeout,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
			NextProtos: []string{"http/1.1"}, // streams are upgraded connections
		},
	}, nil
}

func (a *apiServer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	mux.HandleFunc("GET /pods", a.pods)
	mux.HandleFunc("GET /stats/summary", a.summary)
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", a.logs)
	for _, path := range []string{"/{namespace}/{pod}/{container}", "/{namespace}/{pod}/{uid}/{container}"} {
		mux.HandleFunc("/exec"+path, a.exec)
		mux.HandleFunc("/attach"+path, a.attach)
	}
	mux.HandleFunc("/portForward/{namespace}/{pod}", a.portForward)
	mux.HandleFunc("/portForward/{namespace}/{pod}/{uid}", a.portForward)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.authorize(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// authorize asks the API server whether the caller may use the node, as the kubelet does. The CA has signed others than the API server too.
func (a *apiServer) authorize(r *http.Request) error {
	if r.URL.Path == "/healthz" {
		return nil
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return errors.New("a client certificate is needed")
	}
	subject := r.TLS.PeerCertificates[0].Subject
	key := fmt.Sprint(subject.CommonName, subject.Organization)
	a.mu.Lock()
	until := a.allowed[key]
	a.mu.Unlock()
	if time.Now().Before(until) {
		return nil
	}
	review, err := a.m.client.AuthorizationV1().SubjectAccessReviews().Create(r.Context(), &authzv1.SubjectAccessReview{Spec: authzv1.SubjectAccessReviewSpec{
		User: subject.CommonName, Groups: subject.Organization,
		ResourceAttributes: &authzv1.ResourceAttributes{Verb: "create", Version: "v1", Resource: "nodes", Subresource: "proxy", Name: a.m.Name},
	}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("authorization of %s: %w", subject.CommonName, err)
	}
	if !review.Status.Allowed {
		return fmt.Errorf("%s may not use nodes/proxy of %s", subject.CommonName, a.m.Name)
	}
	a.mu.Lock()
	a.allowed[key] = time.Now().Add(authorizationTTL)
	a.mu.Unlock()
	return nil
}

func (a *apiServer) pods(w http.ResponseWriter, _ *http.Request) {
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
	for _, p := range a.m.all() {
		obj := p.object().DeepCopy()
		obj.Status = p.snapshot()
		list.Items = append(list.Items, *obj)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // the caller has gone
}

// container finds a container by the path of a request.
func (a *apiServer) container(r *http.Request) (*container, error) {
	p, err := a.m.find(r.PathValue("namespace"), r.PathValue("pod"))
	if err != nil {
		return nil, err
	}
	for _, c := range p.containers {
		if c.name() == r.PathValue("container") {
			return c, nil
		}
	}
	return nil, fmt.Errorf("container %q not found in pod %q", r.PathValue("container"), p.key())
}

func (a *apiServer) logs(w http.ResponseWriter, r *http.Request) {
	c, err := a.container(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	q, previous, err := logQuery(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	c.pod.mu.Lock()
	run, live, state := int(c.restarts), c.live, c.state
	c.pod.mu.Unlock()
	if state.Waiting != nil && run > 0 && state.Waiting.Reason != "CrashLoopBackOff" {
		run-- // the next run has not begun
	}
	if previous {
		run--
		live = nil
	}
	path := c.logFile(run)
	if _, err := os.Stat(path); err != nil {
		what := "previous terminated container"
		if !previous {
			what = "container"
		}
		http.Error(w, fmt.Sprintf("%s %q in pod %q is waiting to start: its log is not there", what, c.name(), c.pod.name), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	out := flusher{w, http.NewResponseController(w)}
	if err := podlog.Read(r.Context(), path, live, q, out); err != nil && r.Context().Err() == nil {
		a.m.Log.Debug("log not read to its end", "pod", c.pod.key(), "container", c.name(), "err", err)
	}
}

// flusher sends each line at once: a person watches.
type flusher struct {
	io.Writer
	control *http.ResponseController
}

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}

func logQuery(r *http.Request) (q podlog.Query, previous bool, err error) {
	q.Tail = -1
	get := r.URL.Query()
	number := func(key string, into *int64) {
		if v := get.Get(key); v != "" && err == nil {
			*into, err = strconv.ParseInt(v, 10, 64)
		}
	}
	flag := func(key string, into *bool) {
		if v := get.Get(key); v != "" && err == nil {
			*into, err = strconv.ParseBool(v)
		}
	}
	var since int64
	number("tailLines", &q.Tail)
	number("limitBytes", &q.LimitBytes)
	number("sinceSeconds", &since)
	flag("follow", &q.Follow)
	flag("timestamps", &q.Timestamps)
	flag("previous", &previous)
	if since > 0 {
		q.Since = time.Now().Add(-time.Duration(since) * time.Second)
	}
	if v := get.Get("sinceTime"); v != "" && err == nil {
		q.Since, err = time.Parse(time.RFC3339, v)
	}
	if s := get.Get("stream"); s != "" && s != "All" {
		q.Stream = s
	}
	return q, previous, err
}

// summary answers /stats/summary with what metrics servers read of it.
func (a *apiServer) summary(w http.ResponseWriter, _ *http.Request) {
	type cpu struct {
		Time                 metav1.Time `json:"time"`
		UsageCoreNanoSeconds uint64      `json:"usageCoreNanoSeconds"`
	}
	type memory struct {
		Time            metav1.Time `json:"time"`
		WorkingSetBytes uint64      `json:"workingSetBytes"`
	}
	type containerStats struct {
		Name      string      `json:"name"`
		StartTime metav1.Time `json:"startTime"`
		CPU       cpu         `json:"cpu"`
		Memory    memory      `json:"memory"`
	}
	type podStats struct {
		PodRef     map[string]string `json:"podRef"`
		StartTime  metav1.Time       `json:"startTime"`
		Containers []containerStats  `json:"containers"`
	}
	now := metav1.Now()
	var out struct {
		Node struct {
			NodeName string `json:"nodeName"`
		} `json:"node"`
		Pods []podStats `json:"pods"`
	}
	out.Node.NodeName = a.m.Name
	for _, p := range a.m.all() {
		s := podStats{PodRef: map[string]string{"name": p.name, "namespace": p.namespace, "uid": string(p.uid)}, StartTime: metav1.NewTime(p.created)}
		for _, c := range p.containers {
			c.pod.mu.Lock()
			process := c.process
			c.pod.mu.Unlock()
			if process == nil {
				continue
			}
			u := process.Usage()
			s.Containers = append(s.Containers, containerStats{c.name(), metav1.NewTime(process.Started), cpu{now, u.CPUNanoseconds}, memory{now, u.MemoryBytes}})
		}
		out.Pods = append(out.Pods, s)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // the caller has gone
}
