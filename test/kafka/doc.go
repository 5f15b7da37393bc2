// Package kafka gives tests a real Apache Kafka: one broker in KRaft mode, its own Java process, on loopback, for one test.
//
// In: Java and Maven. Maven fetches the jars that pom.xml pins, refusing wrong checksums; what it brought is compared with jars.sha256 before
// it is kept in .cache/kafka of the repository, and again each time it is used. Out: a running broker, which tests can stop, kill and start
// again on the same data and ports.
//
// Hard rule: what a test starts, it ends, by its process. Where Java, Maven or the jars cannot be had, the test is skipped and says why.
package kafka
