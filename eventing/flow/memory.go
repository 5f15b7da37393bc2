package flow

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/eventing/model"
)

// reading is a reader that was handed over.
type reading struct {
	stream model.StreamID
	id     model.ReaderID
}

// memory is what was handed over under which name, so that it can be taken back once the object that it was for is gone.
type memory[T comparable] struct {
	mu sync.Mutex
	of map[types.NamespacedName]T
}

// other returns what was handed over under a name, unless it is now's.
func (m *memory[T]) other(name types.NamespacedName, now T) (T, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, had := m.of[name]
	return old, had && old != now
}

func (m *memory[T]) keep(name types.NamespacedName, now T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil {
		m.of = map[types.NamespacedName]T{}
	}
	m.of[name] = now
}

// forget drops a name if it still stands for old.
func (m *memory[T]) forget(name types.NamespacedName, old T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of[name] == old {
		delete(m.of, name)
	}
}
