package readyourwrites

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Patience is how long a write is remembered that the cache does not show.
const Patience = 10 * time.Second

// Client reads its own writes. Get sees them; List is the cache's.
type Client struct {
	client.Client
	clock clock.PassiveClock

	mu     sync.Mutex
	writes map[key]write
	swept  time.Time
}

type key struct {
	kind reflect.Type
	name client.ObjectKey
}

// write is an object as the API server answered, and the versions that the cache may show until it shows this one.
type write struct {
	object  client.Object
	older   []string
	expires time.Time
}

// absent stands among resource versions for an object that is not there.
const absent = ""

// New returns a Client over c, whose reads come from a cache.
func New(c client.Client, clock clock.PassiveClock) *Client {
	return &Client{Client: c, clock: clock, writes: map[key]write{}}
}

// Get reads from the cache, or from what was written if the cache is behind.
func (c *Client) Get(ctx context.Context, name client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	err := c.Client.Get(ctx, name, object, opts...)
	version := object.GetResourceVersion()
	switch {
	case apierrors.IsNotFound(err):
		version = absent
	case err != nil:
		return err
	}
	if newer := c.newer(keyOf(object, name), version); newer != nil {
		reflect.ValueOf(object).Elem().Set(reflect.ValueOf(newer).Elem())
		return nil
	}
	return err
}

// newer returns a copy of what was written, if the cache still shows an older version.
func (c *Client) newer(k key, version string) client.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, found := c.writes[k]
	if !found {
		return nil
	}
	if !slices.Contains(w.older, version) || c.clock.Now().After(w.expires) {
		delete(c.writes, k)
		return nil
	}
	return w.object.DeepCopyObject().(client.Object)
}

// List reads from the cache. What the cache shows of an object is as new as what was written, or newer: when the object is gone from it
// later, it is gone, not yet to come.
func (c *Client) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if err := c.Client.List(ctx, list, opts...); err != nil {
		return err
	}
	return meta.EachListItem(list, func(item runtime.Object) error {
		if object, ok := item.(client.Object); ok {
			c.newer(keyOf(object, client.ObjectKeyFromObject(object)), object.GetResourceVersion())
		}
		return nil
	})
}

// Create creates object and remembers it.
func (c *Client) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	if err := c.Client.Create(ctx, object, opts...); err != nil {
		return err
	}
	c.Observe(object, absent)
	return nil
}

// Update updates object and remembers it.
func (c *Client) Update(ctx context.Context, object client.Object, opts ...client.UpdateOption) error {
	older := object.GetResourceVersion()
	if err := c.Client.Update(ctx, object, opts...); err != nil {
		return err
	}
	c.Observe(object, older)
	return nil
}

// Patch patches object and remembers it.
func (c *Client) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	older := object.GetResourceVersion()
	if err := c.Client.Patch(ctx, object, patch, opts...); err != nil {
		return err
	}
	c.Observe(object, older)
	return nil
}

// Delete deletes object and forgets what was written of it.
func (c *Client) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	c.mu.Lock()
	delete(c.writes, keyOf(object, client.ObjectKeyFromObject(object)))
	c.mu.Unlock()
	return c.Client.Delete(ctx, object, opts...)
}

// Status returns a writer of statuses that remembers them.
func (c *Client) Status() client.SubResourceWriter {
	return statusWriter{c.Client.Status(), c}
}

type statusWriter struct {
	client.SubResourceWriter
	client *Client
}

// Update updates the status of object and remembers it.
func (w statusWriter) Update(ctx context.Context, object client.Object, opts ...client.SubResourceUpdateOption) error {
	older := object.GetResourceVersion()
	if err := w.SubResourceWriter.Update(ctx, object, opts...); err != nil {
		return err
	}
	w.client.Observe(object, older)
	return nil
}

// Observe remembers object, as the API server has it, over a cache that may still show version older ("" if it shows nothing).
func (c *Client) Observe(object client.Object, older string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	c.sweep(now)
	if object.GetResourceVersion() == older {
		return // nothing has changed, so there is nothing to wait for
	}
	k := keyOf(object, client.ObjectKeyFromObject(object))
	versions := []string{older}
	if before, found := c.writes[k]; found && before.object.GetResourceVersion() == older {
		versions = append(versions, before.older...) // the cache may be two writes behind
	}
	c.writes[k] = write{object: object.DeepCopyObject().(client.Object), older: versions, expires: now.Add(Patience)}
}

// sweep forgets, now and then, what nobody asked for again.
func (c *Client) sweep(now time.Time) {
	if now.Sub(c.swept) < Patience {
		return
	}
	c.swept = now
	for k, w := range c.writes {
		if now.After(w.expires) {
			delete(c.writes, k)
		}
	}
}

func keyOf(object client.Object, name client.ObjectKey) key {
	return key{reflect.TypeOf(object), name}
}
