package flow

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"

	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	"ebb.dev/ebb/eventing/status"
)

// NatsJetStreamChannel reconciles one NatsJetStreamChannel.
func (r *Reconciler) NatsJetStreamChannel(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var c messagingv1alpha1.NatsJetStreamChannel
	if there, err := r.begin(ctx, natsChannelKind, r.NATS, request, &c); err != nil || !there {
		return ctrl.Result{}, err
	}
	state, err := r.state(ctx, natsChannelKind, &c, c.Spec.Delivery, func() error {
		return r.NATS.EnsureStream(ctx, NATSStreamOf(&c, r.ClusterDomain))
	})
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("NatsJetStreamChannel %s: %w", request, err)
	}
	if err := status.Save(ctx, r.Client, &c, &c.Status, DecideNATSChannel(NATSChannelInput{ChannelState: state, Channel: &c})); err != nil {
		return ctrl.Result{}, err
	}
	if state.troubled() {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}
