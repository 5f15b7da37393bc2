// Package programs gives tests stand-ins for the programs of Ebb's own image.
//
// In: the test. Out: files that are Linux programs. Hard rule: nothing runs them.
package programs
