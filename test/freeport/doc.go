// Package freeport finds ports of loopback for processes that tests start and that cannot choose one themselves.
//
// In: how many. Out: different ports that nobody listens on.
//
// Hard rule: no port is given twice by one process, and none is of the range that the system takes outgoing connections' ports from: one of
// those may be taken between being found and being listened on.
package freeport
