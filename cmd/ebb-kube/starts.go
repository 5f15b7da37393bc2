package main

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"time"
	"unsafe"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/kubelet"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	kubetypes "k8s.io/kubernetes/pkg/kubelet/types"
)

const (
	// startsPerCore is how many pods start at a time, for each core. One start is about 150 ms long and busy for most of it.
	startsPerCore = 2
	// startHold is the longest a pod keeps others waiting: one that pulls an image or waits for a volume is not using the cores.
	startHold = time.Second
)

// podSyncer is the kubelet's own interface of this name.
type podSyncer interface {
	SyncPod(ctx context.Context, kind kubetypes.SyncPodType, pod, mirror *v1.Pod, status *kubecontainer.PodStatus) (bool, func(), error)
	SyncTerminatingPod(ctx context.Context, pod *v1.Pod, status *kubecontainer.PodStatus, grace *int64, change func(*v1.PodStatus)) error
	SyncTerminatingRuntimePod(ctx context.Context, pod *kubecontainer.Pod) error
	SyncTerminatedPod(ctx context.Context, pod *v1.Pod, status *kubecontainer.PodStatus) error
}

// orderlyStarts lets a few pods start at a time. The kubelet starts all at once: of seventy that come together on two cores the first is
// ready when the last nearly is. In turn they take as long in all, and the first are ready at once.
type orderlyStarts struct {
	podSyncer
	slots chan struct{}
}

// SyncPod waits for its turn if the pod has no sandbox yet.
func (o orderlyStarts) SyncPod(ctx context.Context, kind kubetypes.SyncPodType, pod, mirror *v1.Pod, status *kubecontainer.PodStatus) (bool, func(), error) {
	if len(status.SandboxStatuses) > 0 {
		return o.podSyncer.SyncPod(ctx, kind, pod, mirror, status)
	}
	select {
	case o.slots <- struct{}{}:
	case <-ctx.Done():
		return false, nil, ctx.Err()
	}
	leave := make(chan struct{})
	go func() {
		hold := time.NewTimer(startHold)
		defer hold.Stop()
		select {
		case <-leave:
		case <-hold.C:
		}
		<-o.slots
	}()
	defer close(leave)
	return o.podSyncer.SyncPod(ctx, kind, pod, mirror, status)
}

// useOrderlyStarts puts orderlyStarts in front of what k's workers call. As with useEagerVolumes the fields are private; should one go, the
// kubelet works as ever.
func useOrderlyStarts(k *kubelet.Kubelet) error {
	workers := reflect.ValueOf(k).Elem().FieldByName("podWorkers")
	if !workers.IsValid() || workers.Kind() != reflect.Interface || workers.IsNil() || workers.Elem().Kind() != reflect.Pointer {
		return fmt.Errorf("kubelet: no field podWorkers")
	}
	field := workers.Elem().Elem().FieldByName("podSyncer")
	if !field.IsValid() || field.Kind() != reflect.Interface {
		return fmt.Errorf("%s: no field podSyncer", workers.Elem().Type())
	}
	open := reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem()
	inner, ok := open.Interface().(podSyncer)
	if !ok {
		return fmt.Errorf("%s: another podSyncer", workers.Elem().Type())
	}
	outer := reflect.ValueOf(orderlyStarts{inner, make(chan struct{}, startsPerCore*runtime.NumCPU())})
	if !outer.Type().Implements(field.Type()) {
		return fmt.Errorf("%s: podSyncer has other methods", workers.Elem().Type())
	}
	open.Set(outer)
	return nil
}
