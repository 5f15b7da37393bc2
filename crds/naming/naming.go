package naming

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// maxLabel is the length of a DNS label, the shortest limit among the kinds that are named here.
const maxLabel = 63

// maxHead is what a hash leaves of it.
const maxHead = maxLabel - 2*md5.Size

// Child returns parent with suffix. Where that is too long for a DNS label, it is the beginning of parent, a hash of all of it, and suffix;
// or, if that suffix leaves no room for them, the beginning of parent, a hash of both, and as much of suffix as fits.
func Child(parent, suffix string) string {
	switch {
	case len(parent)+len(suffix) <= maxLabel:
		return parent + suffix
	case len(suffix) < maxHead:
		return parent[:maxHead-len(suffix)] + hash(parent) + suffix
	}
	name := parent[:min(len(parent), maxHead)] + hash(parent+suffix)
	name += suffix[:min(len(suffix), maxLabel-len(name))]
	return strings.TrimRight(name, "-_.")
}

// hash tells names apart and hides nothing.
func hash(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}
