package plan

import (
	"google.golang.org/protobuf/proto"

	"ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/model"
)

// mustRow encodes a message of ours. Only text that is not UTF-8 cannot be encoded, and the API server lets none in.
func mustRow(name string, owner model.Owner, message proto.Message) *cache.Row {
	row, err := cache.NewRow(name, owner, message)
	if err != nil {
		panic(err)
	}
	return row
}
