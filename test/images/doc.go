// Package images holds the programs that tests and the demo run in pods, and builds them into an image store without a container engine.
//
// In: the catalog, a table of names and source folders. Out: images in a store, under the names of the public images that they stand in for.
//
// Hard rule: what stands in for a public image does what that image's users can see of it, and is written here; nothing is taken from it.
package images
