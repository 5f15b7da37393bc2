// Package fakekafka gives tests of logic an imitation of Kafka: one broker in the test's process, for one test, whose answers the test may
// change. What a real Kafka does is tested on a real one (test/kafka).
//
// In: the test. Out: the imitation, and where it is.
//
// Hard rule: nothing of it is left once the test has ended.
package fakekafka
