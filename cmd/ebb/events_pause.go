package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/eventing/broker"
)

// pausedTrigger is what became of a Trigger that was paused or resumed.
type pausedTrigger struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Paused    bool   `json:"paused"`
	// Delivering says that events are delivered now. Why says why not.
	Delivering bool   `json:"delivering"`
	Why        string `json:"why,omitempty"`
}

func newEventsPauseCommand() *cobra.Command {
	return newEventsPausing("pause TRIGGER", "Stop delivering to a Trigger's subscriber; what comes in waits", `Stop delivering to a Trigger's subscriber. The Trigger keeps its place, and what comes in waits in the Broker; deliveries under way end as they
would. It is written into the Trigger (annotation `+eventing.PausedAnnotationKey+`), so it outlives restarts, and kubectl shows it.

What waits counts against the Broker's room: one that is full answers 503.`, true)
}

func newEventsResumeCommand() *cobra.Command {
	return newEventsPausing("resume TRIGGER", "Go on delivering to the subscriber of a Trigger that was paused",
		"Go on delivering to the subscriber of a Trigger that was paused, from where it stood.", false)
}

func newEventsPausing(use, short, long string, paused bool) *cobra.Command {
	var f eventsFlags
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: cobra.ExactArgs(1),
		RunE: f.run(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			c, err := f.kubernetes()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(ctx, takenOver, errNotTakenOver)
			defer cancel()
			done, err := setPaused(ctx, c, types.NamespacedName{Namespace: f.namespace, Name: args[0]}, paused)
			if err != nil {
				return err
			}
			return show(&f, cmd, done, writePaused)
		}),
	}
	f.add(cmd)
	return cmd
}

// takenOver is how long the event broker may take to do what the API says.
const takenOver = 15 * time.Second

var errNotTakenOver = fmt.Errorf("the API has it, but the event broker has not taken it over within %s; see: ebb logs broker", takenOver)

// kubernetes reaches the platform's API.
func (f *eventsFlags) kubernetes() (client.WithWatch, error) {
	path, err := kubeconfigIn(f.state)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	scheme := runtime.NewScheme()
	if err := eventingv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("make the scheme: %w", err)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the platform's API: %w; see: ebb status", err)
	}
	return c, nil
}

// setPaused writes into a Trigger whether it is paused, and waits until the event broker says in its status that it has taken it over.
func setPaused(ctx context.Context, c client.WithWatch, key types.NamespacedName, paused bool) (pausedTrigger, error) {
	var t eventingv1.Trigger
	if err := c.Get(ctx, key, &t); apierrors.IsNotFound(err) {
		return pausedTrigger{}, fmt.Errorf("Trigger %s does not exist; see: ebb kubectl get triggers -A", key)
	} else if err != nil {
		return pausedTrigger{}, fmt.Errorf("read Trigger %s: %w", key, err)
	}
	before := t.DeepCopy()
	if paused {
		if t.Annotations == nil {
			t.Annotations = map[string]string{}
		}
		t.Annotations[eventing.PausedAnnotationKey] = "true"
	} else {
		delete(t.Annotations, eventing.PausedAnnotationKey)
	}
	if err := c.Patch(ctx, &t, client.MergeFrom(before)); err != nil {
		return pausedTrigger{}, fmt.Errorf("write annotation %s of Trigger %s: %w", eventing.PausedAnnotationKey, key, err)
	}
	if err := until(ctx, c, &t, func() bool { return takenOverBy(&t, paused) }); err != nil {
		return pausedTrigger{}, fmt.Errorf("Trigger %s: %w", key, err)
	}
	return describePaused(&t, paused), nil
}

// takenOverBy reports whether a Trigger's status is that of one that is paused or not.
func takenOverBy(t *eventingv1.Trigger, paused bool) bool {
	read := t.Status.GetCondition(eventingv1.TriggerConditionSubscribed)
	if read == nil {
		return false
	}
	// What is not read at all delivers nothing, paused or not.
	return !read.IsTrue() || (read.Reason == broker.ReasonPaused) == paused
}

// until watches a Trigger until a condition holds of it.
func until(ctx context.Context, c client.WithWatch, t *eventingv1.Trigger, holds func() bool) error {
	if holds() {
		return nil
	}
	w, err := c.Watch(ctx, &eventingv1.TriggerList{}, client.InNamespace(t.Namespace),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", t.Name)})
	if err != nil {
		return fmt.Errorf("watch it: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e, open := <-w.ResultChan():
			seen, is := e.Object.(*eventingv1.Trigger)
			switch {
			case !open:
				return errors.New("the API ended the watch; try again")
			case e.Type == watch.Error:
				return fmt.Errorf("watch it: %w", apierrors.FromObject(e.Object))
			case is && e.Type == watch.Deleted:
				return errors.New("it was deleted")
			case is:
				seen.DeepCopyInto(t)
			}
			if holds() {
				return nil
			}
		}
	}
}

func describePaused(t *eventingv1.Trigger, paused bool) pausedTrigger {
	out := pausedTrigger{Namespace: t.Namespace, Name: t.Name, Paused: paused}
	ready := t.Status.GetCondition(eventingv1.TriggerConditionReady)
	switch {
	case paused:
	case ready.IsTrue():
		out.Delivering = true
	case ready != nil:
		out.Why = ready.Message
	}
	return out
}

func writePaused(w io.Writer, t pausedTrigger) error {
	name := t.Namespace + "/" + t.Name
	var err error
	switch {
	case t.Paused:
		_, err = fmt.Fprintf(w, "Trigger %s is paused; go on with: ebb events resume %s -n %s\n", name, t.Name, t.Namespace)
	case t.Delivering:
		_, err = fmt.Fprintf(w, "Trigger %s delivers\n", name)
	default:
		_, err = fmt.Fprintf(w, "Trigger %s is not paused, but is not ready: %s\n", name, t.Why)
	}
	return err
}
