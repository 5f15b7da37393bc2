// Package partition makes of what reads a stream of several orders one reader for each.
//
// In: a reader of a stream; the stream's partitions, if its log has any. Out: readers ID#0, ID#1 and so on, of the streams STREAM#0, STREAM#1,
// to a dispatcher.
//
// Hard rule: a partition that joins later is read from its beginning; nothing that came before its reader is missed.
package partition
