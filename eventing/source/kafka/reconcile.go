package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"ebb.dev/ebb/crds/duck"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/settings"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/status"
)

const (
	// lookAgain is how soon a source is looked at again that is not ready; one that is, after settled: its Secrets may have changed.
	lookAgain = 5 * time.Second
	settled   = time.Minute
	// concurrency is how many sources are reconciled at once: each may wait for Kafka.
	concurrency = 4
)

// Exposer makes Services reachable through Envoy.
type Exposer interface {
	Subscribers(ctx context.Context, services ...types.NamespacedName) error
}

// Runs runs sources; *Runner does.
type Runs interface {
	Set(ctx context.Context, job Job) (State, error)
	Remove(id string)
}

// Secrets reads single values of Secrets; *settings.Reader does.
type Secrets interface {
	Value(ctx context.Context, namespace string, ref *corev1.SecretKeySelector) ([]byte, error)
}

// Reconciler brings KafkaSources about.
type Reconciler struct {
	Client   client.Client
	Secrets  Secrets
	Resolver *destination.Resolver
	Exposer  Exposer
	Runner   Runs
	// Accounts makes as whom they send; nil makes nobody.
	Accounts *identity.Accounts
	Clock    clock.PassiveClock
}

// Setup adds the controller to a manager.
func (r *Reconciler) Setup(m ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(m).Named("kafkasource").For(&sourcesv1.KafkaSource{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency})
	return r.Accounts.Watch(b, &sourcesv1.KafkaSourceList{}).Complete(enqueue.Anew(r.Reconcile))
}

// Reconcile reconciles one KafkaSource.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var k sourcesv1.KafkaSource
	if err := r.Client.Get(ctx, request.NamespacedName, &k); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read KafkaSource %s: %w", request, err)
	} else if err != nil || k.DeletionTimestamp != nil {
		r.Runner.Remove(request.String())
		return ctrl.Result{}, nil
	}
	now := k.Status.DeepCopy()
	marks := now.Mark(metav1.NewTime(r.Clock.Now()))
	now.ObservedGeneration = k.Generation
	marks.Initialize()
	sender := r.Accounts.Settle(ctx, &k)
	sender.State(marks, sourcesv1.KafkaSourceConditionOIDCIdentityCreated, &now.Auth)
	now.Selector = "eventing.knative.dev/source=kafka-source-controller,eventing.knative.dev/sourceName=" + k.Name
	now.Consumers = 0
	sink := r.Resolver.Require(ctx, k.Spec.Sink, k.Namespace)
	now.SinkURI, now.SinkCACerts, now.SinkAudience, now.CloudEventAttributes = nil, nil, nil, attributes(&k)
	if sink.Err != nil {
		reason, message := sink.Explain("sink")
		marks.MarkFalse(sourcesv1.KafkaSourceConditionSinkProvided, reason, message)
	} else {
		now.SinkURI, now.SinkCACerts, now.SinkAudience = &sink.URL, sink.CACerts, sink.Audience
		marks.MarkTrue(sourcesv1.KafkaSourceConditionSinkProvided)
	}
	letters := r.Resolver.DeadLetters(ctx, k.Spec.Delivery, k.Namespace)
	if err := r.Exposer.Subscribers(ctx, sink.Service, letters.Service); err != nil {
		return ctrl.Result{}, fmt.Errorf("KafkaSource %s: %w", request, err)
	}
	again := settled
	if sender.Err != nil {
		again = lookAgain
	}
	state, reason, err := r.run(ctx, &k, sink, letters, sender.Account)
	now.Consumers = int32(state.Consumers)
	switch {
	case sink.Err != nil:
		marks.MarkUnknown(sourcesv1.KafkaSourceConditionConsumerGroup, "SinkMissing", "it reads once the sink has a URI")
		again = lookAgain
	case err != nil:
		marks.MarkFalse(sourcesv1.KafkaSourceConditionConsumerGroup, reason, err.Error())
		again = lookAgain
	default:
		marks.MarkTrue(sourcesv1.KafkaSourceConditionConsumerGroup)
	}
	now.Status.KeepTransitionTimes(&k.Status.Status)
	return ctrl.Result{RequeueAfter: again}, status.Save(ctx, r.Client, &k, &k.Status, *now)
}

// attributes are those of the events that are made of plain records.
func attributes(k *sourcesv1.KafkaSource) []duck.CloudEventAttributes {
	c := converterOf(k)
	out := make([]duck.CloudEventAttributes, 0, len(k.Spec.Topics))
	for _, topic := range k.Spec.Topics {
		out = append(out, duck.CloudEventAttributes{Type: sourcesv1.KafkaSourceEventType, Source: c.SourceOf(topic)})
	}
	return out
}

func converterOf(k *sourcesv1.KafkaSource) Converter {
	c := Converter{Source: model.Key{Namespace: k.Namespace, Name: k.Name}, KeyType: k.Labels[sourcesv1.KafkaKeyTypeLabelKey]}
	if k.Spec.CloudEventOverrides != nil {
		c.Overrides = k.Spec.CloudEventOverrides.Extensions
	}
	return c
}

// run starts a source, or stops it where it has no sink, and says why it does not read.
func (r *Reconciler) run(ctx context.Context, k *sourcesv1.KafkaSource, sink, letters destination.Found, as model.Account) (state State, reason string, err error) {
	id := client.ObjectKeyFromObject(k).String()
	if sink.Err != nil {
		r.Runner.Remove(id)
		return State{}, "", nil
	}
	job, reason, err := r.job(ctx, k, sink, letters)
	if err != nil {
		r.Runner.Remove(id)
		return State{}, reason, err
	}
	job.As = as
	if state, err = r.Runner.Set(ctx, job); err == nil {
		err = state.Err
	}
	var why *cluster.Unreachable
	switch {
	case errors.As(err, &why):
		return state, why.Reason, fmt.Errorf("spec.bootstrapServers: %w", why)
	case err != nil:
		return state, "NotReading", err
	}
	return state, "", nil
}

// job is what a source is to do.
func (r *Reconciler) job(ctx context.Context, k *sourcesv1.KafkaSource, sink, letters destination.Found) (job Job, reason string, err error) {
	auth, err := r.auth(ctx, k)
	if wrong := (*settings.Wrong)(nil); errors.As(err, &wrong) {
		return Job{}, wrong.Reason, err
	}
	if err != nil {
		return Job{}, "SecretNotRead", err
	}
	delivery, err := broker.DeliveryOf(k.Spec.Delivery)
	if err != nil {
		return Job{}, "DeliveryInvalid", fmt.Errorf("spec.%w", err)
	}
	if k.Spec.Delivery == nil {
		delivery = defaultDelivery
	}
	if letters.Err != nil {
		reason, message := letters.Explain("spec.delivery.deadLetterSink")
		return Job{}, reason, errors.New(message)
	}
	delivery.DeadLetter = letters.Destination()
	return Job{
		ID: client.ObjectKeyFromObject(k).String(), Cluster: cluster.Cluster{Servers: k.Spec.BootstrapServers, Auth: auth}, Group: groupOf(k), Topics: k.Spec.Topics,
		Consumers: int(ptr.Deref(k.Spec.Consumers, 1)), Earliest: k.Spec.InitialOffset == sourcesv1.OffsetEarliest,
		Ordered: ptr.Deref(k.Spec.Ordering, sourcesv1.Ordered) == sourcesv1.Ordered, Converter: converterOf(k), Sink: sink.Destination(), Delivery: delivery,
	}, "", nil
}

// defaultDelivery is that of a source that says nothing, as Knative's.
var defaultDelivery = model.Delivery{Retry: 10, Backoff: model.Exponential, Delay: 300 * time.Millisecond, Timeout: 10 * time.Minute}

// groupOf is a source's consumer group: the one that it names, or one of its own.
func groupOf(k *sourcesv1.KafkaSource) string {
	if k.Spec.ConsumerGroup != "" {
		return k.Spec.ConsumerGroup
	}
	return "knative-kafka-source-" + string(k.UID)
}

// auth reads how to authenticate from the Secrets that spec.net names.
func (r *Reconciler) auth(ctx context.Context, k *sourcesv1.KafkaSource) (cluster.Auth, error) {
	net := k.Spec.Net
	data := map[string][]byte{"protocol": []byte(protocolOf(net))}
	for _, field := range []struct {
		path string
		used bool
		from sourcesv1.SecretValueFromSource
		key  string
	}{
		{"spec.net.sasl.user", net.SASL.Enable, net.SASL.User, "user"},
		{"spec.net.sasl.password", net.SASL.Enable, net.SASL.Password, "password"},
		{"spec.net.sasl.type", net.SASL.Enable, net.SASL.Type, "sasl.mechanism"},
		{"spec.net.tls.caCert", net.TLS.Enable, net.TLS.CACert, "ca.crt"},
		{"spec.net.tls.cert", net.TLS.Enable, net.TLS.Cert, "user.crt"},
		{"spec.net.tls.key", net.TLS.Enable, net.TLS.Key, "user.key"},
	} {
		ref := field.from.SecretKeyRef
		if !field.used || ref == nil || ref.Name == "" {
			continue
		}
		value, err := r.Secrets.Value(ctx, k.Namespace, ref)
		if wrong := (*settings.Wrong)(nil); errors.As(err, &wrong) {
			return cluster.Auth{}, &settings.Wrong{Reason: wrong.Reason, Message: field.path + ": " + wrong.Message}
		}
		if err != nil {
			return cluster.Auth{}, fmt.Errorf("%s: %w", field.path, err)
		}
		data[field.key] = value
	}
	if len(data["user.crt"]) == 0 {
		data["user.skip"] = []byte("true")
	}
	auth, err := cluster.AuthOf(data)
	if err != nil {
		return cluster.Auth{}, &settings.Wrong{Reason: "NetInvalid", Message: "spec.net: " + asFields(err.Error())}
	}
	return auth, nil
}

func protocolOf(net sourcesv1.KafkaNetSpec) string {
	switch {
	case net.SASL.Enable && net.TLS.Enable:
		return cluster.SASLSSL
	case net.SASL.Enable:
		return cluster.SASLPlaintext
	case net.TLS.Enable:
		return cluster.SSL
	}
	return cluster.Plaintext
}

// asFields puts the names of fields for those of a Secret's keys, which a KafkaSource does not have.
func asFields(message string) string {
	return strings.NewReplacer(
		"key sasl.mechanism", "sasl.type", "key user is", "sasl.user is", "key password is", "sasl.password is", "key ca.crt", "tls.caCert",
		"keys user.crt and user.key", "tls.cert and tls.key",
	).Replace(message)
}
