// Package job is what a JobSink means: a Job for each event.
//
// In: JobSinks, and requests with events for them, by the path /NAMESPACE/NAME of their host. Out: Jobs, each with its event in a Secret that
// is mounted at K_EVENT_PATH/event, the place of a Job's state as the answer, and statuses.
//
// Hard rule: an event has one Job, however often it is sent; 202 is answered once Job and Secret are stored.
package job
