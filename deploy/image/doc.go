// Package image keeps container images on this machine without a daemon: it builds, imports, pulls, serves and unpacks them.
//
// In: archives (docker save, OCI), directories, static binaries, Go main packages, registries, and pushes over the registry protocol.
// Out: one OCI layout on disk (Store), a registry over it (Registry), references resolved to digests (Resolver) and root file systems
// ready to run (Store.Unpack).
//
// Hard rule: a name in the index points at a manifest whose every blob is on disk and has the hash it is stored under. Blobs are written to
// a temporary file, hashed, synced and renamed; the index is replaced last, in one rename, under a lock that all processes share. So a
// crash at any point leaves at worst a file that nobody names, and the next removal sweeps it.
package image
