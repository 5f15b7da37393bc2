package cri

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Client talks to containerd.
type Client struct {
	conn    *grpc.ClientConn
	Runtime runtimeapi.RuntimeServiceClient
	Images  runtimeapi.ImageServiceClient
}

// Connect prepares a client for the socket; calls fail until containerd serves.
func Connect(socket string) (*Client, error) {
	// The default back-off of a second would be most of the start: containerd serves after 200 ms.
	quick := grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.2, MaxDelay: time.Second},
		MinConnectTimeout: time.Second,
	})
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), quick)
	if err != nil {
		return nil, fmt.Errorf("containerd at %s: %w", socket, err)
	}
	return &Client{conn, runtimeapi.NewRuntimeServiceClient(conn), runtimeapi.NewImageServiceClient(conn)}, nil
}

// pullTime bounds a pull: the image is this machine's.
const pullTime = time.Minute

// Pull has the containerd at a socket pull and unpack an image.
func Pull(ctx context.Context, socket, image string) error {
	c, err := Connect(socket)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, pullTime)
	defer cancel()
	if _, err := c.Images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: image}}); err != nil {
		return fmt.Errorf("pull %s: %w", image, err)
	}
	return nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Ready returns nil when the runtime part of containerd is ready. Its network may not be.
func (c *Client) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, err := c.Runtime.Status(ctx, &runtimeapi.StatusRequest{})
	if err != nil {
		return err
	}
	for _, condition := range status.Status.Conditions {
		if condition.Type == runtimeapi.RuntimeReady && !condition.Status {
			return fmt.Errorf("%s: %s", condition.Reason, condition.Message)
		}
	}
	return nil
}

// stopWorkers is how many pods stop at a time.
const stopWorkers = 8

// StopPods ends all containers, with grace between TERM and KILL, and takes their sandboxes down. It returns when all are, or ctx ends.
func (c *Client) StopPods(ctx context.Context, grace time.Duration) error {
	containers, err := c.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{
		Filter: &runtimeapi.ContainerFilter{State: &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING}},
	})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	// All containers get their TERM at once: the grace is waited for once, not once per worker.
	errs := each(containers.Containers, len(containers.Containers), func(container *runtimeapi.Container) error {
		_, err := c.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: container.Id, Timeout: int64(grace / time.Second)})
		return err
	})
	sandboxes, err := c.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	return errors.Join(errs, each(sandboxes.Items, stopWorkers, func(s *runtimeapi.PodSandbox) error {
		if _, err := c.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: s.Id}); err != nil {
			return fmt.Errorf("stop pod %s/%s: %w", s.Metadata.Namespace, s.Metadata.Name, err)
		}
		_, err := c.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: s.Id})
		return err
	}))
}

// each calls f for all items, workers at a time, and joins the errors.
func each[T any](items []T, workers int, f func(T) error) error {
	slots := make(chan struct{}, max(1, workers))
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = f(item)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
