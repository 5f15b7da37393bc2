// Package handed keeps what reconcilers hand over to the log and the dispatcher in step with the objects it was handed over for.
//
// In: the streams and readers that objects of the API stand for, and words that an object is gone. Out: calls to a Plane.
//
// Hard rule: an object has one stream or one reader at a time. One that was made again under its name has another, and the old one is taken
// back first; what could not be taken back is remembered.
package handed
