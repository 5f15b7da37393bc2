package kube

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/deploy/kubernetes"
)

// Namespaces are those every cluster has.
var Namespaces = []string{"ebb-system", "knative-serving", "knative-eventing"}

// Cluster is a client with the admin's certificate.
type Cluster struct {
	http    *http.Client
	host    string
	objects client.Client
}

// NewCluster reads the admin's kubeconfig.
func NewCluster(kubeconfig string) (*Cluster, error) {
	conf, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	conf.QPS, conf.Burst = 200, 400
	httpClient, err := rest.HTTPClientFor(conf)
	if err != nil {
		return nil, err
	}
	objects, err := client.New(conf, client.Options{HTTPClient: httpClient})
	if err != nil {
		return nil, err
	}
	return &Cluster{httpClient, conf.Host, objects}, nil
}

// Ready returns nil when the API server says it is ready.
func (c *Cluster) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.host+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("API server: %s", resp.Status)
	}
	return nil
}

// NodeReady returns nil when the named Node is ready and has said so since: a Node object of an earlier run does not count.
func (c *Cluster) NodeReady(ctx context.Context, name string, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var node corev1.Node
	if err := c.objects.Get(ctx, client.ObjectKey{Name: name}, &node); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type != corev1.NodeReady {
			continue
		}
		// Times in the API are whole seconds.
		if condition.Status == corev1.ConditionTrue && !condition.LastHeartbeatTime.Time.Before(since.Truncate(time.Second)) {
			return nil
		}
		return fmt.Errorf("node %s: %s", name, condition.Message)
	}
	return fmt.Errorf("node %s has not reported", name)
}

// rightsOfDNS are what every cluster of ours needs; rightsHere what Ebb's processes need beside those of any cluster.
//
//go:embed dns.yaml
var rightsOfDNS []byte

//go:embed rights.yaml
var rightsHere []byte

// Bootstrap makes what a cluster begins with: namespaces, which are left as they are once they exist, and what its own DNS may do.
func (c *Cluster) Bootstrap(ctx context.Context) error {
	for _, name := range Namespaces {
		err := c.objects.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("namespace %s: %w", name, err)
		}
	}
	rights, err := kubernetes.Decode(rightsOfDNS)
	if err != nil {
		return fmt.Errorf("rights of DNS: %w", err)
	}
	return c.apply(ctx, rights)
}

// formerBinding made all of Ebb's processes admins, in state folders of before 2026-11-22.
const formerBinding = "ebb:system"

// Grant gives Ebb's processes their accounts and rights: those that they have on any cluster, and what only a laptop needs. They are always as
// they are here.
func (c *Cluster) Grant(ctx context.Context) error {
	rights, err := kubernetes.Rights()
	if err != nil {
		return fmt.Errorf("rights of a cluster: %w", err)
	}
	here, err := kubernetes.Decode(rightsHere)
	if err != nil {
		return fmt.Errorf("rights of a laptop: %w", err)
	}
	if err := c.apply(ctx, slices.Concat(rights, here)); err != nil {
		return err
	}
	former := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: formerBinding}}
	if err := c.objects.Delete(ctx, former); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("cluster role binding %s: %w", formerBinding, err)
	}
	return nil
}

func (c *Cluster) apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		err := c.objects.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("ebb"), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), client.ObjectKeyFromObject(o), err)
		}
	}
	return nil
}
