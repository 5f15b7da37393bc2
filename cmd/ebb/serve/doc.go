// Package serve is how the processes of the binary serve HTTP.
//
// In: an address or a listener, a handler, a context. Out: answers until the context ends.
//
// Hard rule: once the context has ended nothing is accepted any more, and when HTTP returns nothing is served any more.
package serve
