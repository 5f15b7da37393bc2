package journal

import (
	"container/list"

	"ebb.dev/ebb/eventing/log"
)

// messageBytes is what a message costs besides its body.
const messageBytes = 1024

// cache keeps the latest messages in memory, up to a number of bytes.
type cache struct {
	most, bytes int64
	order       *list.List
	at          map[log.Position]*list.Element
}

type cached struct {
	at      log.Position
	message *Message
}

func newCache(most int64) *cache {
	return &cache{most: most, order: list.New(), at: map[log.Position]*list.Element{}}
}

func (c cached) size() int64 { return int64(len(c.message.Body)) + messageBytes }

func (c *cache) put(at log.Position, m *Message) {
	entry := cached{at, m}
	c.at[at] = c.order.PushBack(entry)
	c.bytes += entry.size()
	for c.bytes > c.most {
		c.remove(c.order.Front())
	}
}

func (c *cache) get(at log.Position) *Message {
	if e, ok := c.at[at]; ok {
		return e.Value.(cached).message
	}
	return nil
}

func (c *cache) drop(at log.Position) {
	if e, ok := c.at[at]; ok {
		c.remove(e)
	}
}

func (c *cache) remove(e *list.Element) {
	entry := c.order.Remove(e).(cached)
	delete(c.at, entry.at)
	c.bytes -= entry.size()
}
