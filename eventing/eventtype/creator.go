package eventtype

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1beta3 "ebb.dev/ebb/crds/eventing/v1beta3"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	"ebb.dev/ebb/eventing/model"
)

const (
	// pause is between two EventTypes that are made.
	pause = 100 * time.Millisecond
	// mostAt is how many EventTypes a Broker or channel gets: whose sources differ in every event needs no list of them.
	mostAt = 500
)

// Creator makes the EventTypes of what is noted.
type Creator struct {
	Client client.Client
	Notes  *Notes
	// Stream finds what a stream was made for.
	Stream func(model.StreamID) (model.Stream, bool)
	Clock  clock.Clock
	Log    *slog.Logger
}

// Start makes EventTypes until the context ends.
func (c *Creator) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case one := <-c.Notes.news:
			if err := c.create(ctx, one); err != nil && ctx.Err() == nil {
				c.Log.Warn("EventType not made", "type", one.seen.Type, "source", one.seen.Source, "error", err)
				c.Notes.forget(one)
			}
		}
		timer := c.Clock.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		}
	}
}

func (c *Creator) create(ctx context.Context, one note) error {
	stream, ok := c.Stream(one.stream)
	if !ok {
		return nil
	}
	at, owner, err := c.place(ctx, stream)
	if err != nil || owner == nil {
		return err
	}
	want := made(nameAt(at, one.seen), at.Namespace, &at, ownedBy(at, owner, false), one.seen)
	var list eventingv1beta3.EventTypeList
	if err := c.Client.List(ctx, &list, client.InNamespace(at.Namespace)); err != nil {
		return fmt.Errorf("list EventTypes in %s: %w", at.Namespace, err)
	}
	there := 0
	for i := range list.Items {
		if list.Items[i].Name == want.Name {
			return nil
		}
		if r := list.Items[i].Spec.Reference; r != nil && r.Kind == at.Kind && r.Name == at.Name {
			there++
		}
	}
	if there >= mostAt {
		c.Log.Warn("EventType not made: there are enough", "kind", at.Kind, "namespace", at.Namespace, "name", at.Name, "most", mostAt, "type", one.seen.Type)
		return nil
	}
	if err := c.Client.Create(ctx, want); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make EventType %s/%s: %w", want.Namespace, want.Name, err)
	}
	return nil
}

// place is the Broker or channel that a stream was made for; of a channel that backs a Channel, that one. No owner means neither.
func (c *Creator) place(ctx context.Context, stream model.Stream) (duck.KReference, metav1.Object, error) {
	var candidates []candidate
	switch stream.Kind {
	case model.Broker:
		candidates = []candidate{{&eventingv1.Broker{}, eventingv1.SchemeGroupVersion.WithKind("Broker")}}
	case model.Channel:
		candidates = []candidate{
			{&messagingv1.InMemoryChannel{}, messagingv1.SchemeGroupVersion.WithKind("InMemoryChannel")},
			{&messagingv1alpha1.NatsJetStreamChannel{}, messagingv1alpha1.SchemeGroupVersion.WithKind("NatsJetStreamChannel")},
			{&messagingv1beta1.KafkaChannel{}, messagingv1beta1.SchemeGroupVersion.WithKind("KafkaChannel")},
		}
	}
	for _, k := range candidates {
		err := c.Client.Get(ctx, stream.Key, k.object)
		if client.IgnoreNotFound(err) != nil {
			return duck.KReference{}, nil, fmt.Errorf("read %s %s: %w", k.kind.Kind, stream.Key, err)
		}
		if err != nil || !strings.HasSuffix(string(stream.ID), string(k.object.GetUID())) {
			continue
		}
		at := duck.KReference{APIVersion: k.kind.GroupVersion().String(), Kind: k.kind.Kind, Namespace: stream.Key.Namespace, Name: stream.Key.Name}
		if owner := metav1.GetControllerOf(k.object); owner != nil && owner.Kind == "Channel" {
			at.APIVersion, at.Kind, at.Name = owner.APIVersion, owner.Kind, owner.Name
			return at, &metav1.ObjectMeta{Name: owner.Name, UID: owner.UID}, nil
		}
		return at, k.object, nil
	}
	return duck.KReference{}, nil, nil
}

// candidate is a kind that a stream may have been made for.
type candidate struct {
	object client.Object
	kind   schema.GroupVersionKind
}
