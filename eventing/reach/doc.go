// Package reach writes the Services and KIngresses by which Envoy leads to the event rooms and to subscribers.
//
// In: where the ingress listens, which Services are subscribers. Out: the objects of package exposure in the API, and whether the gateways
// have accepted them.
//
// Hard rule: an object of that name that is not ours is left alone and told.
package reach
