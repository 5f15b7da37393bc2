// Package call makes the HTTP requests of this room: attempts, through the gateway, and notices to those who want to know.
//
// In: a stored request and its record; a URL and a key. Out: the answer, read whole up to a bound; whether a notice was taken.
//
// Notices are signed as Standard Webhooks are (webhook-id, webhook-timestamp, webhook-signature: v1 and an HMAC with SHA-256), so that
// receivers find libraries that verify them.
//
// Hard rule: nothing here is retried, and nothing follows a redirect.
package call
