package config

import (
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
)

const (
	// ExampleKey is the documentation that ships inside a ConfigMap. It sets nothing.
	ExampleKey = "_example"
	// ExampleChecksumAnnotationKey, on a ConfigMap, is the checksum of its example.
	ExampleChecksumAnnotationKey = "knative.dev/example-checksum"
)

var newlines = regexp.MustCompile("(?:\r?\n)+")

// ExampleChecksum returns the checksum of an example, by which an edit of it by mistake is noticed.
// Newlines count as one, and as the two characters \n: Knative's tools compute it so.
func ExampleChecksum(example string) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(newlines.ReplaceAllString(strings.TrimSpace(example), `\n`))))
}
