// Package schedule sends events when their time has come.
//
// In: jobs, each with a cron expression, a time zone, an event and a sink. Out: one event for each time, sent until it is accepted or the
// next one is due.
//
// Hard rule: a time has one event. Its id follows from the job and the time, so that what was sent twice is told apart from what is due twice.
package schedule
