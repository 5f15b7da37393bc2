package partition

import (
	"strconv"
	"strings"

	"ebb.dev/ebb/eventing/model"
)

// separator stands between a stream or a reader and a partition.
const separator = "#"

// Stream is the stream that a partition of a stream is.
func Stream(id model.StreamID, n int32) model.StreamID { return join(id, n) }

// Reader is a reader's reader of one partition.
func Reader(id model.ReaderID, n int32) model.ReaderID { return join(id, n) }

func join[T ~string](id T, n int32) T { return id + separator + T(strconv.Itoa(int(n))) }

// Of is the stream or the reader and the partition that a name means; the partition is -1 where it names none.
func Of[T ~string](id T) (base T, n int32) {
	i := strings.LastIndex(string(id), separator)
	if i < 0 {
		return id, -1
	}
	number, err := strconv.ParseInt(string(id[i+1:]), 10, 32)
	if err != nil || number < 0 {
		return id, -1
	}
	return id[:i], int32(number)
}
