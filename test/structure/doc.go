// Package structure holds the tree to its own rules: which room may import which, how long files may be, that packages
// say what they are.
//
// In: the source. Out: failed tests. Hard rule: it reads, and knows the rules of docs/architecture.md by heart.
package structure
