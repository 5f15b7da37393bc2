package digest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"ebb.dev/ebb/crds/config"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// Request is an image that a pod is to run.
type Request struct {
	// Image is the name as the user wrote it. It has no digest.
	Image string
	// Namespace, PullSecrets and ServiceAccount say which credentials the pod would have. ServiceAccount is never empty.
	Namespace      string
	PullSecrets    []string
	ServiceAccount string
}

// Resolver finds what an image name stands for now.
type Resolver interface {
	// Resolve returns the image by its digest, such as gcr.io/shop/cart@sha256:…, or only the digest. "" runs the image by its name.
	// The error says why it cannot be had; it is shown to the user behind the image's name.
	Resolve(ctx context.Context, request Request) (digest string, err error)
}

// Result is what is known of a revision's images.
type Result struct {
	// Known says that Images is complete.
	Known bool
	// Images are the images by digest, by container name; "" runs by its name.
	Images map[string]string
	// Failure says why they cannot be had, "" if they are being looked up.
	Failure string
	// Again is after how long to look again, 0 if the revision will be called.
	Again time.Duration
}

const (
	firstRetry = time.Second
	lastRetry  = 1000 * time.Second
	// parallel bounds how many look-ups run at once.
	parallel = 32
)

// Background looks images up. Its methods may be called concurrently.
type Background struct {
	resolver Resolver
	clock    clock.PassiveClock
	log      *slog.Logger
	slots    chan struct{}
	done     chan event.GenericEvent
	base     context.Context
	stop     context.CancelFunc

	mu   sync.Mutex
	jobs map[types.NamespacedName]*job
}

// job is the look-up for one revision.
type job struct {
	uid     types.UID
	running bool
	images  map[string]string
	failure string
	tries   int
	retry   time.Time
}

// NewBackground returns a Background that asks resolver.
func NewBackground(resolver Resolver, clock clock.PassiveClock, log *slog.Logger) *Background {
	b := &Background{
		resolver: resolver, clock: clock, log: log,
		slots: make(chan struct{}, parallel), done: make(chan event.GenericEvent),
		jobs: map[types.NamespacedName]*job{},
	}
	b.base, b.stop = context.WithCancel(context.Background())
	return b
}

// Done tells of revisions whose look-up has ended, by name and namespace.
func (b *Background) Done() <-chan event.GenericEvent { return b.done }

// Start ends all look-ups when ctx ends.
func (b *Background) Start(ctx context.Context) error {
	<-ctx.Done()
	b.stop()
	return nil
}

// Look returns what is known of r's images and, if that is nothing, begins to look them up.
func (b *Background) Look(r *servingv1.Revision, cfg *config.Deployment) Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := client.ObjectKeyFromObject(r)
	j := b.jobs[key]
	if j == nil || j.uid != r.UID {
		j = &job{uid: r.UID}
		b.jobs[key] = j
	}
	if j.images != nil {
		return Result{Known: true, Images: j.images}
	}
	wait := j.retry.Sub(b.clock.Now())
	if !j.running && wait <= 0 {
		j.running = true
		go b.run(key, j, requests(r), cfg)
	}
	if j.running {
		wait = 0
	}
	return Result{Failure: j.failure, Again: max(0, wait)}
}

// Forget drops what is known of a revision: it is stored elsewhere now, or the revision is gone.
func (b *Background) Forget(key types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.jobs, key)
}

// Retry looks again at once at everything that could not be had.
func (b *Background) Retry() {
	for _, key := range b.failed() {
		b.call(key)
	}
}

func (b *Background) failed() []types.NamespacedName {
	b.mu.Lock()
	defer b.mu.Unlock()
	var keys []types.NamespacedName
	for key, j := range b.jobs {
		if j.failure != "" {
			j.retry, j.tries = time.Time{}, 0
			keys = append(keys, key)
		}
	}
	return keys
}

// container is an image to look up for a container.
type container struct {
	name    string
	request Request
}

func requests(r *servingv1.Revision) []container {
	var secrets []string
	for _, s := range r.Spec.ImagePullSecrets {
		secrets = append(secrets, s.Name)
	}
	account := r.Spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	var all []container
	for _, list := range [][]corev1.Container{r.Spec.InitContainers, r.Spec.Containers} {
		for _, c := range list {
			all = append(all, container{c.Name, Request{Image: c.Image, Namespace: r.Namespace, PullSecrets: secrets, ServiceAccount: account}})
		}
	}
	return all
}

func (b *Background) run(key types.NamespacedName, j *job, containers []container, cfg *config.Deployment) {
	select {
	case b.slots <- struct{}{}:
	case <-b.base.Done():
		return
	}
	images, err := b.resolveAll(containers, cfg)
	<-b.slots
	if b.finish(key, j, images, err) {
		b.call(key)
	}
}

// finish notes the outcome and reports whether the revision shall hear of it.
func (b *Background) finish(key types.NamespacedName, j *job, images map[string]string, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	j.running = false
	if err == nil {
		j.images, j.failure = images, ""
	} else {
		j.failure = err.Error()
		j.retry = b.clock.Now().Add(backoff(j.tries))
		j.tries++
		b.log.Info("image not resolved", "revision", key.String(), "try", j.tries, "err", err)
	}
	return b.jobs[key] == j && b.base.Err() == nil
}

func (b *Background) call(key types.NamespacedName) {
	r := &servingv1.Revision{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	select {
	case b.done <- event.GenericEvent{Object: r}:
	case <-b.base.Done():
	}
}

func backoff(tries int) time.Duration {
	return min(lastRetry, firstRetry<<min(tries, 20))
}

// resolveAll looks all images up side by side. The error is the first container's that fails.
func (b *Background) resolveAll(containers []container, cfg *config.Deployment) (map[string]string, error) {
	digests, failures := make([]string, len(containers)), make([]error, len(containers))
	var all sync.WaitGroup
	for i, c := range containers {
		all.Go(func() { digests[i], failures[i] = b.resolve(c.request, cfg) })
	}
	all.Wait()
	images := make(map[string]string, len(containers))
	for i, c := range containers {
		if failures[i] != nil {
			return nil, failures[i]
		}
		images[c.name] = digests[i]
	}
	return images, nil
}

func (b *Background) resolve(request Request, cfg *config.Deployment) (string, error) {
	if _, err := name.NewDigest(request.Image, name.WeakValidation); err == nil {
		return request.Image, nil
	}
	tag, err := name.NewTag(request.Image, name.WeakValidation)
	if err != nil {
		return "", explain(request.Image, fmt.Errorf("%w; write one such as registry.example.com/shop/cart:v1", err))
	}
	for _, skipped := range cfg.RegistriesSkippingTagResolving {
		if tag.RegistryStr() == skipped {
			return "", nil
		}
	}
	ctx, cancel := context.WithTimeout(b.base, cfg.DigestResolutionTimeout)
	defer cancel()
	digest, err := b.resolver.Resolve(ctx, request)
	if err != nil {
		return "", explain(request.Image, err)
	}
	if digest != "" && !strings.Contains(digest, "@") {
		digest = tag.Context().Name() + "@" + digest
	}
	return digest, nil
}

// explain says of which image err is, in Knative's words, unless err says so itself.
func explain(image string, err error) error {
	if strings.HasPrefix(err.Error(), servingv1.ContainerMissingMessage(image, "")) {
		return err
	}
	return errors.New(servingv1.ContainerMissingMessage(image, "failed to resolve image to digest: "+err.Error()))
}
