// Package e2e drives `ebb up` the way a person does - with its commands, kubectl and HTTP clients - and proves its promises on real parts.
//
// In: the programs in bin/ (EBB_BIN) and the images that test/images builds. Out: one platform for the whole run, in a state folder
// and a network namespace of its own, ended with `ebb down` whatever the tests do; a namespace for each test.
//
// Environment: EBB_GUIDE is the folder of the guide's manifests (default ../shared/guide beside the repository), EBB_FAULTS=long kills
// and cycles many times instead of a few, EBB_E2E_KEEP=1 keeps the state folder.
//
// Hard rule: nothing is reached past what a user has. The debug pages are read for what only they show: how many requests are held.
package e2e
