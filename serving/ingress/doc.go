// Package ingress hands KIngresses to the gateways and says what became of them.
//
// In: KIngresses of the classes that Ebb serves. Out: their rules at the gateways, and their status.
//
// Hard rule: a KIngress is Ready when every gateway has accepted the rules that it has now, and not before. A gateway that refuses them
// is quoted, and keeps what it had.
package ingress
