// Package nats gives tests a real NATS with JetStream: a server in the test's process, on loopback, for one test.
//
// In: the test. Out: the URL that clients connect to.
//
// Hard rule: nothing of the server is left once the test has ended.
package nats
