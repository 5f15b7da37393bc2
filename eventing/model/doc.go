// Package model is what the event rooms agree on: brokers and channels as streams, and who reads them.
//
// In: nothing. Out: plain values that the controllers fill in from API objects, and that ingress, log and dispatch act on.
//
// Hard rule: no I/O, no clock, no API types but filters; a value is never changed after it was handed on.
package model
