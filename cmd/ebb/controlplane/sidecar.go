package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/cmd/ebb/agents/host"
	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/networking"
	knative "ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/deploy/envoy/bootstrap"
	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/deploy/image/bundle"
	"ebb.dev/ebb/deploy/local/cri"
	"ebb.dev/ebb/serving"
	"ebb.dev/ebb/serving/workload"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
)

// injected is what every sidecar of this control plane is told.
type injected struct {
	// image holds ebb and the pinned Envoy side by side.
	image string
	// controlPlane is where sidecars dial, host:port.
	controlPlane string
	trustDomain  string
}

// Names of what a sidecar brings into its pod.
const (
	identityVolume = "ebb-identity"
	socketVolume   = "ebb-run"
	identityDir    = "/var/run/ebb/identity"
	socketDir      = "/var/run/ebb/agent"
	tokenFile      = "token"
	bootstrapKey   = "envoy" + bootstrap.Extension
	// sidecarUser is the number that the image runs as; the app's user is another's business.
	sidecarUser = 65532
	// sidecarTokenLife is the least that the API server gives times six; the kubelet renews it.
	sidecarTokenLife = 3600
)

// sidecar adds a replica's own proxy to its pod.
func (c *controlPlane) sidecar(pod *corev1.PodSpec, revision *servingv1.Revision, cfg *config.Set) {
	inject(pod, revision, cfg, c.injected)
}

// inject adds the proxy as a native sidecar: a container that starts before the app, does not keep it waiting, and is stopped after it.
// The app's containers are stopped once the proxy says that nothing comes any more.
func inject(pod *corev1.PodSpec, revision *servingv1.Revision, cfg *config.Set, with injected) {
	pod.InitContainers = append([]corev1.Container{sidecarContainer(revision, cfg, with)}, pod.InitContainers...)
	// Sockets and a bootstrap, nothing secret: a folder of the node's is there sooner than one in memory, which has to be mounted.
	pod.Volumes = append(pod.Volumes, identityOf(), corev1.Volume{
		Name: socketVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
	})
	for i := range pod.Containers {
		app := &pod.Containers[i]
		if app.Lifecycle == nil {
			app.Lifecycle = &corev1.Lifecycle{}
		}
		app.Lifecycle.PreStop = &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{
			Port: intstr.FromInt32(networking.ReplicaAdminPort), Scheme: corev1.URISchemeHTTP,
			Path: "/drain?" + url.Values{"within": {longestRequest(revision).String()}}.Encode(),
		}}
	}
}

func sidecarContainer(revision *servingv1.Revision, cfg *config.Set, with injected) corev1.Container {
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
	}
	return corev1.Container{
		Name:          knative.SidecarContainerName,
		Image:         cmp.Or(cfg.Deployment.SidecarImage, with.image),
		RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways),
		Command:       []string{bundle.Sidecar},
		Args: []string{
			"--control-plane", with.controlPlane, "--trust-domain", with.trustDomain,
			"--trust-file", identityDir + "/" + rootsKey, "--token-file", identityDir + "/" + tokenFile, "--dir", socketDir,
			"--bootstrap", identityDir + "/" + bootstrapKey,
		},
		Env: []corev1.EnvVar{
			field("POD_NAMESPACE", "metadata.namespace"), field("POD_NAME", "metadata.name"),
			field("POD_UID", "metadata.uid"), field("POD_IP", "status.podIP"),
			// Not an argument: an older image, which somebody may have pinned, would refuse one that it does not know.
			{Name: "APP_PORT", Value: strconv.Itoa(int(revision.Spec.UserPort()))},
			// It collects nothing while the app starts; then it sets itself a small heap.
			{Name: "GOGC", Value: "off"}, {Name: "GOMAXPROCS", Value: "1"},
		},
		Ports: []corev1.ContainerPort{
			{Name: "ebb-https", ContainerPort: networking.ReplicaHTTPSPort, Protocol: corev1.ProtocolTCP},
			{Name: "ebb-kubelet", ContainerPort: networking.ReplicaAdminPort, Protocol: corev1.ProtocolTCP},
		},
		Resources: workload.SidecarResources(revision, cfg.Deployment),
		// No startup probe: the app starts beside the proxy, not after it.
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(networking.ReplicaAdminPort), Scheme: corev1.URISchemeHTTP}},
			PeriodSeconds: 1, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
		},
		SecurityContext: &corev1.SecurityContext{
			RunAsUser: ptr.To[int64](sidecarUser), RunAsGroup: ptr.To[int64](sidecarUser), RunAsNonRoot: ptr.To(true),
			Privileged: ptr.To(false), AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: identityVolume, MountPath: identityDir, ReadOnly: true}, {Name: socketVolume, MountPath: socketDir},
		},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

// bootstrap is what the Envoys of sidecars start with; each is told its own ID.
func (i injected) bootstrap() ([]byte, error) {
	return bootstrap.Encode(bootstrap.Settings{
		Kind: bootstrap.Replica, ControlPlane: i.controlPlane, TrustDomain: i.trustDomain,
		AgentSocket: host.AgentSocket(socketDir), AdminSocket: host.AdminSocket(socketDir, model.SidecarID(model.Key{})),
	})
}

// identityOf is what the sidecar proves itself with, the roots it begins with, and what its Envoy starts with.
func identityOf() corev1.Volume {
	return corev1.Volume{Name: identityVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: identity.Audience, ExpirationSeconds: ptr.To[int64](sidecarTokenLife), Path: tokenFile,
			}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: trustName},
				Items:                []corev1.KeyToPath{{Key: rootsKey, Path: rootsKey}, {Key: bootstrapKey, Path: bootstrapKey}},
			}},
		},
	}}}
}

// longestRequest bounds a replica's drain.
func longestRequest(revision *servingv1.Revision) time.Duration {
	longest := drainWithin
	if seconds := revision.Spec.TimeoutSeconds; seconds != nil && *seconds > 0 {
		longest = time.Duration(*seconds) * time.Second
	}
	return async.Longest(revision.Annotations, longest)
}

// podName and podNamespace are the control plane's own pod, by the downward API.
const (
	podName      = "POD_NAME"
	podNamespace = "POD_NAMESPACE"
)

// findSidecar settles what sidecars are told: their image is the one that --sidecar-image names, else that of this control plane's own
// pod, so that a cluster names it once, else one made here.
func (c *controlPlane) findSidecar(ctx context.Context) error {
	c.injected = injected{
		image: c.SidecarImage, trustDomain: c.TrustDomain,
		controlPlane: cmp.Or(c.SidecarControlPlane, "ebb-control-plane."+systemNamespaces[0]+".svc."+c.ClusterDomain+":"+strconv.Itoa(xdsPort)),
	}
	var err error
	switch byDefault := c.ReplicaProxy == string(serving.SidecarProxy); {
	case c.injected.image != "":
	case os.Getenv(podName) != "":
		c.injected.image, err = ownImage(ctx, c.kube, os.Getenv(podNamespace), os.Getenv(podName))
	case c.Images != "" && c.Envoy != "":
		if c.injected.image, c.makeImage, err = c.localImage(); err == nil && byDefault {
			err = c.makeImage(ctx)
		}
	case byDefault:
		err = errors.New("--replica-proxy=sidecar needs an image with ebb-sidecar and envoy: give --sidecar-image, or set POD_NAME and POD_NAMESPACE to use this pod's own")
	}
	return err
}

// pullImage has the machine's kubelet node unpack the image of sidecars, so that the first pod does not wait for it. Without it the kubelet
// does, later.
func (c *controlPlane) pullImage(ctx context.Context) {
	if c.RuntimeSocket == "" || !c.pulling.CompareAndSwap(false, true) {
		return
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		begun := time.Now()
		if err := cri.Pull(ctx, c.RuntimeSocket, c.injected.image); err != nil {
			c.Log.Warn("image of sidecars not unpacked ahead of its first pod", "image", c.injected.image, "error", err)
			c.pulling.Store(false)
			return
		}
		c.Log.Info("image of sidecars unpacked", "image", c.injected.image, "took", time.Since(begun))
	}()
}

// localImage is the image of the sidecar that lies beside this very program, and an Envoy: its name, and what makes it in the local store.
func (c *controlPlane) localImage() (string, func(context.Context) error, error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	programs := bundle.Replica(self, c.Envoy)
	name, err := bundle.Local(programs)
	if err != nil {
		return "", nil, fmt.Errorf("image for sidecars: %w", err)
	}
	store, err := image.Open(c.Images)
	if err != nil {
		return "", nil, err
	}
	return name.Name() + ":" + name.Tag, func(ctx context.Context) error {
		if err := bundle.Ensure(ctx, store, name, programs); err != nil {
			return fmt.Errorf("image for sidecars: %w", err)
		}
		c.pullImage(ctx)
		return nil
	}, nil
}

// xdsPort is where the control plane's Service takes proxies and agents.
const xdsPort = 15010

// ownImage is the image of a control plane's pod.
func ownImage(ctx context.Context, kube kubernetes.Interface, namespace, name string) (string, error) {
	pod, err := kube.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("find the image for sidecars in this control plane's own pod %s/%s: %w; or give --sidecar-image", namespace, name, err)
	}
	return pod.Spec.Containers[0].Image, nil
}
