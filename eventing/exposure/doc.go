// Package exposure says how Envoy reaches the event rooms, and how the dispatcher reaches subscribers through Envoy.
//
// In: names and hosts. Out: the Services and KIngresses that make it so; whoever serves KIngresses programs Envoy with them.
//
// Hard rule: pure. Names follow from what is reached alone, so that two readers of one subscriber share one route.
package exposure
