// Package service makes a Service's Configuration and Route, and shows what they say of themselves as its status.
//
// In: the Service, its Configuration and Route, and the Revision whose name its template gives. Out: the two children and the status.
//
// Hard rule: Configuration and Route are made at once, neither waits for the other. Traffic is not moved onto a name that belongs to a
// different Revision.
package service
