// Package schedule reads the schedules of PingSources and CronJobSources.
//
// In: a cron expression and a time zone's name, as users write them. Out: a Schedule that says when it is due next; or what is wrong.
//
// Hard rule: nothing here reads a clock. The caller passes now.
package schedule
