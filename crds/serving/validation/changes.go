package validation

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
)

// equal compares as the API does: quantities by amount, no list as an empty one.
func equal(a, b any) bool { return equality.Semantic.DeepEqual(a, b) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// maxChanges is how many changes a message names. People fix the first ones.
const maxChanges = 4

// changes names the fields in which two objects differ, as they are on the wire: "spec.containers[0].image: was a, is b".
func changes(old, changed any) string {
	found := compare("", onWire(old), onWire(changed), nil)
	if more := len(found) - maxChanges; more > 0 {
		found = append(found[:maxChanges], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(found, "; ")
}

func onWire(object any) any {
	data, err := json.Marshal(object)
	if err != nil {
		return fmt.Sprintf("unreadable: %v", err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		return fmt.Sprintf("unreadable: %v", err)
	}
	return out
}

func compare(path string, old, changed any, found []string) []string {
	oldMap, ok1 := old.(map[string]any)
	newMap, ok2 := changed.(map[string]any)
	if ok1 && ok2 {
		union := maps.Clone(oldMap)
		maps.Copy(union, newMap)
		for _, key := range sortedKeys(union) {
			found = compare(strings.TrimPrefix(path+"."+key, "."), oldMap[key], newMap[key], found)
		}
		return found
	}
	oldList, ok1 := old.([]any)
	newList, ok2 := changed.([]any)
	if ok1 && ok2 && len(oldList) == len(newList) {
		for i := range oldList {
			found = compare(fmt.Sprintf("%s[%d]", path, i), oldList[i], newList[i], found)
		}
		return found
	}
	if !equality.Semantic.DeepEqual(old, changed) {
		found = append(found, fmt.Sprintf("%s: was %s, is %s", path, shown(old), shown(changed)))
	}
	return found
}

// maxShown is how much of a value a message shows.
const maxShown = 80

func shown(value any) string {
	if value == nil {
		return "absent"
	}
	data, err := json.Marshal(value)
	if err != nil {
		return "unreadable"
	}
	if len(data) > maxShown {
		return strings.ToValidUTF8(string(data[:maxShown]), "") + "…"
	}
	return string(data)
}
