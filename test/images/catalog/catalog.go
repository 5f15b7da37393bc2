// Package catalog is the table of test images: their names, where their source is, and what they stand in for.
//
// Hard rule: a table and nothing else; the program beside it (build) does the work.
package catalog

// Image is one image to build.
type Image struct {
	// Name is the image's name, as manifests write it.
	Name string
	// Dir is the Go main package, relative to test/images.
	Dir string
	// Shell says that the image gets /bin/sh, and the program into /bin beside it, with the shell as entrypoint's companion.
	Shell bool
	// StandsInFor says which public image users know it as; empty for our own.
	StandsInFor string
}

// Images are all test images.
var Images = []Image{
	{Name: "gcr.io/knative-samples/helloworld-go:latest", Dir: "helloworld-go", StandsInFor: "the Knative sample that answers Hello $TARGET!"},
	{
		Name: "gcr.io/knative-releases/knative.dev/eventing-contrib/cmd/event_display:latest", Dir: "event-display",
		StandsInFor: "the sink that prints each CloudEvent",
	},
	{Name: "gcr.io/knative-releases/knative.dev/eventing/cmd/event_display:latest", Dir: "event-display", StandsInFor: "the same under its later name"},
	{
		Name: "gcr.io/knative-releases/knative.dev/eventing/cmd/heartbeats:latest", Dir: "heartbeats",
		StandsInFor: "the sender that a ContainerSource or a SinkBinding tells its sink",
	},
	{Name: "ebb.dev/eventfile:latest", Dir: "eventfile"},
	{Name: "williamyeh/hey:latest", Dir: "hey/hey", Shell: true, StandsInFor: "the load generator, with a shell"},
	{Name: "ebb.dev/testapp:latest", Dir: "testapp"},
}
