// Package container is what a ContainerSource means: pods that send events.
//
// In: ContainerSources. Out: for each a Deployment of its template and a SinkBinding that tells the pods where to send to, and statuses.
//
// Hard rule: no pod starts that is not told its sink, so the Deployment is made once the SinkBinding has one; afterwards the SinkBinding tells
// it what is new, and this package leaves those variables alone.
package container
