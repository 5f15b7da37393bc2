package config

import (
	"maps"
	"slices"
)

// selector is how ConfigMaps choose by labels.
type selector struct {
	Selector map[string]string `json:"selector,omitempty"`
}

// mostSpecific returns the key of choices whose selector has the most labels, all of them among labels. Of several it is the first by name.
func mostSpecific(choices map[string]map[string]string, labels map[string]string) (key string, found bool) {
	most := -1
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		if len(choices[name]) > most && matches(choices[name], labels) {
			key, most = name, len(choices[name])
		}
	}
	return key, most >= 0
}

func matches(selector, labels map[string]string) bool {
	for key, want := range selector {
		if got, ok := labels[key]; !ok || got != want {
			return false
		}
	}
	return true
}
