// Package eventtype makes EventTypes of the events that are seen, and says of EventTypes whether what they refer to is there.
//
// In: what is stored in Brokers and channels, what sources say they send, and the feature eventtype-auto-create. Out: EventTypes, one for each
// type and source at each Broker or channel, and the condition ReferenceExists.
//
// Hard rule: an event never waits for this. What is noted is bounded, and so is how often the API is written to; what is past a bound is noted
// when it is seen again.
package eventtype
