// Package background runs beside a test what runs until its context ends.
//
// In: the test, and what to run. Out: how to stop it before the test ends.
//
// Hard rule: it has ended when the test has, and what it says of that fails the test.
package background
