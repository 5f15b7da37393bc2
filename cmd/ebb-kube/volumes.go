package main

import (
	"context"
	"fmt"
	"reflect"
	"time"
	"unsafe"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/kubelet"
	"k8s.io/kubernetes/pkg/kubelet/volumemanager"
	volumeutil "k8s.io/kubernetes/pkg/volume/util"
)

const (
	// volumePoll is the pause between two looks at a starting pod's volumes; volumeWait ends the looking, after which the kubelet's own
	// wait goes on and reports what is wrong.
	volumePoll = 5 * time.Millisecond
	volumeWait = 2 * time.Second
	// volumeLoop is the pause of the volume manager's loops, 100 ms by default.
	volumeLoop = 20 * time.Millisecond
)

// eagerVolumes sees at once that a pod's volumes are mounted. The kubelet looks when a pod starts, when they never are yet, and then again
// after 300 ms: without this every pod with a service-account token starts 200 ms later.
type eagerVolumes struct{ volumemanager.VolumeManager }

// WaitForAttachAndMount returns when all volumes of pod are mounted.
func (e eagerVolumes) WaitForAttachAndMount(ctx context.Context, pod *v1.Pod) error {
	if pod == nil {
		return nil
	}
	mounts, devices, _ := volumeutil.GetPodVolumeNames(pod, false)
	expected := mounts.Union(devices)
	deadline := time.Now().Add(volumeWait)
	for !e.mounted(pod, expected.UnsortedList()) && time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(volumePoll):
		}
	}
	return e.VolumeManager.WaitForAttachAndMount(ctx, pod)
}

func (e eagerVolumes) mounted(pod *v1.Pod, names []string) bool {
	have := e.GetMountedVolumesForPod(volumeutil.GetUniquePodName(pod))
	for _, name := range names {
		if _, ok := have[name]; !ok {
			return false
		}
	}
	return true
}

// useEagerVolumes puts eagerVolumes in front of the volume manager of k and shortens the pauses of its loops, of which a volume takes three:
// wanted, attached, mounted. The intervals are constants and the fields private, so this is the only way that leaves Kubernetes as it is;
// should a field go, the kubelet works as ever.
func useEagerVolumes(k *kubelet.Kubelet) error {
	field, err := fieldOf[volumemanager.VolumeManager](reflect.ValueOf(k), "volumeManager")
	if err != nil {
		return err
	}
	inner := reflect.ValueOf(*field)
	if inner.Kind() != reflect.Pointer {
		return fmt.Errorf("kubelet: volumeManager is a %s", inner.Kind())
	}
	for _, loop := range []string{"desiredStateOfWorldPopulator", "reconciler"} {
		worker := inner.Elem().FieldByName(loop)
		if !worker.IsValid() || worker.Kind() != reflect.Interface {
			return fmt.Errorf("%s: no field %s", inner.Type(), loop)
		}
		pause, err := fieldOf[time.Duration](worker.Elem(), "loopSleepDuration")
		if err != nil {
			return err
		}
		*pause = volumeLoop
	}
	*field = eagerVolumes{*field}
	return nil
}

// fieldOf returns the address of the named field of the struct that pointer points to.
func fieldOf[T any](pointer reflect.Value, name string) (*T, error) {
	field := pointer.Elem().FieldByName(name)
	if !field.IsValid() || field.Type() != reflect.TypeFor[T]() {
		return nil, fmt.Errorf("%s: no field %s of type %s", pointer.Type(), name, reflect.TypeFor[T]())
	}
	return (*T)(unsafe.Pointer(field.UnsafeAddr())), nil
}
