package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/exposure"
)

// BrokerHost is the Host header that leads to all Brokers, BrokerPath the path to one of these benchmarks.
const BrokerHost = exposure.BrokerIngress + "." + eventing.SystemNamespace + ".localhost"

// BrokerPath is the path of a Broker behind BrokerHost.
func BrokerPath(broker string) string { return "/" + Services + "/" + broker }

// Trigger says what is special about a Trigger of these benchmarks.
type Trigger struct {
	Name, Broker string
	// Type is that of the events that pass, Service the Knative Service that gets them.
	Type, Service string
	// Earliest begins with what the Broker has already.
	Earliest bool
}

func (t Trigger) object() *eventingv1.Trigger {
	out := &eventingv1.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: Services, Name: t.Name}}
	if t.Earliest {
		out.Annotations = map[string]string{broker.StartKey: "earliest"}
	}
	out.Spec.Broker = t.Broker
	out.Spec.Filter = &eventingv1.TriggerFilter{Attributes: map[string]string{"type": t.Type}}
	out.Spec.Subscriber = duck.Destination{Ref: &duck.KReference{APIVersion: "serving.knative.dev/v1", Kind: "Service", Name: t.Service}}
	return out
}

// eventsReadyTimeout bounds the wait for Brokers, and that for a hundred Triggers.
const eventsReadyTimeout = time.Minute

// CreateBrokers makes Brokers of the default class and returns when all are ready.
func (b *Bed) CreateBrokers(ctx context.Context, names ...string) error {
	return b.createBrokers(ctx, eventingv1.Broker{}, names...)
}

// kafkaConfig is the ConfigMap that says where Kafka is.
const kafkaConfig = "bench-kafka"

// CreateKafkaBrokers makes Brokers that keep their events in a Kafka, of which one server is named, and returns when all are ready.
func (b *Bed) CreateKafkaBrokers(ctx context.Context, server string, names ...string) error {
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: Services, Name: kafkaConfig}, Data: map[string]string{
		"bootstrap.servers": server, "default.topic.replication.factor": "1",
	}}
	if err := b.Client.Create(ctx, config); err != nil {
		return err
	}
	like := eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{eventing.BrokerClassAnnotationKey: eventing.KafkaBrokerClass}}}
	like.Spec.Config = &duck.KReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: Services, Name: kafkaConfig}
	return b.createBrokers(ctx, like, names...)
}

// RemoveKafkaBrokers removes Brokers and their Triggers, and returns when nothing of them is left: Kafka may end then.
func (b *Bed) RemoveKafkaBrokers(ctx context.Context, names ...string) error {
	var triggers eventingv1.TriggerList
	if err := b.Client.List(ctx, &triggers, client.InNamespace(Services)); err != nil {
		return err
	}
	var gone []client.Object
	for i := range triggers.Items {
		if slices.Contains(names, triggers.Items[i].Spec.Broker) {
			gone = append(gone, &triggers.Items[i])
		}
	}
	for _, name := range names {
		gone = append(gone, &eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: Services, Name: name}})
	}
	gone = append(gone, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: Services, Name: kafkaConfig}})
	for _, o := range gone {
		if err := b.removed(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bed) createBrokers(ctx context.Context, like eventingv1.Broker, names ...string) error {
	for _, name := range names {
		broker := like.DeepCopy()
		broker.Namespace, broker.Name = Services, name
		if err := b.Client.Create(ctx, broker); err != nil {
			return fmt.Errorf("create Broker %s: %w", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, eventsReadyTimeout)
	defer cancel()
	return Until(ctx, "wait for Brokers", func() error {
		for _, name := range names {
			var broker eventingv1.Broker
			if err := b.Client.Get(ctx, client.ObjectKey{Namespace: Services, Name: name}, &broker); err != nil {
				return err
			}
			if !broker.IsReady() {
				return fmt.Errorf("Broker %s is not ready: %+v", name, broker.Status.Conditions)
			}
		}
		return nil
	})
}

// CreateTriggers makes Triggers and returns when all are ready.
func (b *Bed) CreateTriggers(ctx context.Context, triggers ...Trigger) error {
	jobs := make(chan Trigger)
	failed := make(chan error, len(triggers))
	var group sync.WaitGroup
	for range creators {
		group.Go(func() {
			for t := range jobs {
				if err := b.Client.Create(ctx, t.object()); err != nil {
					failed <- fmt.Errorf("create Trigger %s: %w", t.Name, err)
				}
			}
		})
	}
	for _, t := range triggers {
		jobs <- t
	}
	close(jobs)
	group.Wait()
	close(failed)
	var errs error
	for err := range failed {
		errs = errors.Join(errs, err)
	}
	if errs != nil {
		return errs
	}
	return b.triggersReady(ctx, triggers)
}

func (b *Bed) triggersReady(ctx context.Context, triggers []Trigger) error {
	ctx, cancel := context.WithTimeout(ctx, eventsReadyTimeout*time.Duration(1+len(triggers)/100))
	defer cancel()
	waiting := map[string]bool{}
	for _, t := range triggers {
		waiting[t.Name] = true
	}
	// Each look at a thousand Triggers costs the API server: it is not to be what they wait for.
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		var list eventingv1.TriggerList
		if err := b.Client.List(ctx, &list, client.InNamespace(Services)); err != nil {
			return err
		}
		last := ""
		for i := range list.Items {
			t := &list.Items[i]
			if t.IsReady() {
				delete(waiting, t.Name)
			} else if waiting[t.Name] {
				last = fmt.Sprintf("%s: %+v", t.Name, t.Status.Conditions)
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for Triggers: %d of %d are not ready, among them %s: %w", len(waiting), len(triggers), last, context.Cause(ctx))
		}
	}
}

// exposed labels what Expose makes.
const exposed = "bench"

// Expose makes the gateway lead to a process of this machine, in the way it leads to the Brokers, and returns the Host header for it. The
// process listens at a port of NodeAddress.
func (b *Bed) Expose(ctx context.Context, name string, port int32) (host string, err error) {
	meta := metav1.ObjectMeta{Namespace: Services, Name: name, Labels: map[string]string{exposure.PurposeKey: exposed}}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{
		Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(port),
	}}}}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  *meta.DeepCopy(),
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{b.NodeAddress}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(port), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	slice.Labels[discoveryv1.LabelServiceName], slice.Labels[discoveryv1.LabelManagedBy] = name, "ebb-bench"
	key := types.NamespacedName{Namespace: Services, Name: name}
	host = b.URLHost(name)
	route := exposure.Route(key, exposed, exposure.Hosts(key, "cluster.local"), []string{host}, key)
	for _, o := range []client.Object{service, slice, route} {
		if err := b.Client.Create(ctx, o); err != nil {
			return "", fmt.Errorf("expose %s: %w", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, eventsReadyTimeout)
	defer cancel()
	return host, Until(ctx, "expose "+name, func() error {
		var ingress networkingv1alpha1.Ingress
		if err := b.Client.Get(ctx, key, &ingress); err != nil {
			return err
		}
		if !ingress.IsReady() {
			return fmt.Errorf("its route is not ready: %+v", ingress.Status.Conditions)
		}
		return nil
	})
}

// clearEvents removes what was made for events, Triggers before their Brokers.
func (b *Bed) clearEvents(ctx context.Context) error {
	ours := client.MatchingLabels{exposure.PurposeKey: exposed}
	for _, kind := range []client.Object{&networkingv1alpha1.Ingress{}, &discoveryv1.EndpointSlice{}} {
		if err := b.Client.DeleteAllOf(ctx, kind, client.InNamespace(Services), ours); err != nil {
			return err
		}
	}
	var services corev1.ServiceList
	if err := b.Client.List(ctx, &services, client.InNamespace(Services), ours); err != nil {
		return err
	}
	for i := range services.Items {
		if err := b.Client.Delete(ctx, &services.Items[i]); err != nil {
			return err
		}
	}
	for _, kind := range []client.Object{&eventingv1.Trigger{}, &eventingv1.Broker{}} {
		if err := b.Client.DeleteAllOf(ctx, kind, client.InNamespace(Services)); err != nil {
			return err
		}
	}
	return nil
}

// NodePort is a free port of the node's address.
func (b *Bed) NodePort() (int32, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(b.NodeAddress, "0"))
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	_, text, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseInt(text, 10, 32)
	return int32(port), err
}
