package broker

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/eventing/flow"
	"ebb.dev/ebb/eventing/kafka/settings"
	"ebb.dev/ebb/eventing/log/kafka"
	"ebb.dev/ebb/eventing/sweep"
)

// sweep drops from the log what was deleted while no broker ran.
func (p *process) sweep(ctx context.Context) error {
	p.visit(ctx)
	p.sweeper(sweep.Noting{Whole: p.log}).Run(ctx)
	return nil
}

func (p *process) sweeper(log sweep.Log) *sweep.Sweeper {
	return &sweep.Sweeper{Log: log, Objects: p.manager.GetAPIReader(), Logger: p.Log, Clock: clock.RealClock{}}
}

// sweepKafka drops the same from a log on Kafka that was opened.
func (p *process) sweepKafka(l *kafka.Log) {
	l.Go(p.sweeper(kafka.Owned{Log: l, Spared: p.externalTopics}).Run)
}

// visit opens the logs on the Kafka that Brokers and channels use unless they name another one: the last of those may be gone.
func (p *process) visit(ctx context.Context) {
	reader := &settings.Reader{API: p.manager.GetAPIReader()}
	for _, name := range []types.NamespacedName{{Namespace: eventing.SystemNamespace, Name: config.KafkaBrokerName}, flow.KafkaConfig} {
		found, err := reader.ConfigMap(ctx, name)
		if wrong := (*settings.Wrong)(nil); errors.As(err, &wrong) {
			// There is none, or nobody could use it.
			continue
		}
		if err == nil {
			err = p.placed.Visit(ctx, found.Cluster)
		}
		if err != nil && ctx.Err() == nil {
			p.Log.Info("Kafka not looked through for what deleted objects left", "configmap", name, "error", err)
		}
	}
}

// cluster is the UID that tells this Kubernetes cluster from others.
func (p *process) cluster(ctx context.Context) (string, error) {
	var system corev1.Namespace
	if err := p.manager.GetAPIReader().Get(ctx, types.NamespacedName{Name: metav1.NamespaceSystem}, &system); err != nil {
		return "", fmt.Errorf("read namespace %s, whose UID tells clusters apart: %w", metav1.NamespaceSystem, err)
	}
	return string(system.UID), nil
}

// externalTopics are those that Brokers name as somebody else's.
func (p *process) externalTopics(ctx context.Context) (map[string]bool, error) {
	var list eventingv1.BrokerList
	if err := p.manager.GetAPIReader().List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list Brokers: %w", err)
	}
	out := map[string]bool{}
	for i := range list.Items {
		if name := list.Items[i].Annotations[eventing.KafkaExternalTopicAnnotationKey]; name != "" {
			out[name] = true
		}
	}
	return out, nil
}
