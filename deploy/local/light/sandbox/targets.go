package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mostTargets is how many sets of mount targets a thread keeps.
const mostTargets = 256

// targets keeps directories with the places at which containers have something mounted, one for each set of places, in a tmpfs of the thread's
// own mount namespace. An image lies above it: what the image has not is there all the same, and is made once, not in each container's files.
type targets struct {
	dir   string
	known map[string]string
}

// lower is what an overlay begins with for an image and what is mounted into it. Where nothing can be put beneath, it is the image alone.
func (b *targets) lower(rootfs string, trees []tree, dirs ...string) string {
	var places []string
	for _, t := range trees {
		place := filepath.Clean("/" + t.target)
		if t.dir {
			place += "/"
		}
		places = append(places, place)
	}
	for _, dir := range dirs {
		places = append(places, filepath.Clean("/"+dir)+"/")
	}
	slices.Sort(places)
	places = slices.Compact(places)
	key := strings.Join(places, "\x00")
	layer, known := b.known[key]
	if !known && len(b.known) < mostTargets {
		layer = filepath.Join(b.dir, strconv.Itoa(len(b.known)))
		if err := makeTargets(layer, places); err != nil {
			layer = "" // mounting says what is wrong
		}
		b.known[key] = layer
	}
	if layer == "" {
		return rootfs
	}
	return rootfs + ":" + layer
}

// makeTargets makes files, and directories, whose names end in a slash.
func makeTargets(dir string, places []string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, place := range places {
		if err := makeTarget(filepath.Join(dir, place), strings.HasSuffix(place, "/")); err != nil {
			return err
		}
	}
	return nil
}
