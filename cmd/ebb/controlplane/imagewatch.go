package controlplane

import (
	"context"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleImages is how long a change of the store may go on before anybody looks.
const settleImages = 100 * time.Millisecond

// watchImages gives a word when the local image store has changed, until the context ends.
func watchImages(ctx context.Context, dir string, changed chan<- struct{}) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the image store: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(dir); err != nil {
		return fmt.Errorf("watch the image store %s: %w", dir, err)
	}
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-watcher.Events:
			if !open {
				return nil
			}
			settled = time.After(settleImages)
		case err := <-watcher.Errors:
			return fmt.Errorf("watch the image store %s: %w", dir, err)
		case <-settled:
			settled = nil
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}
}
