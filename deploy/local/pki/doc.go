// Package pki makes and keeps the certificates of one `ebb up`.
//
// In: a folder, the certificates wanted (Wanted: who, for which addresses) and the time. Out: the same folder with an authority, one
// certificate and key per name, the service-account key, and kubeconfigs that embed them.
//
// Hard rule: every private key is born in its file with mode 0600 and is never read by anything but its owner. A certificate that still
// fits (same authority, same subject, same addresses, not near its end) is left alone, so that running clients keep working.
package pki
