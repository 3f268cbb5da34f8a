package group

import (
	"encoding/hex"
	"slices"
	"time"
	"unicode/utf8"
)

// What a member, a group, an offset and a pending member are taken to cost
// beside the strings and bytes that they hold.
const (
	memberCost  = 512
	groupCost   = 512
	topicCost   = 256
	entryCost   = 160
	pendingCost = 128
)

// member is one member of a group.
type member struct {
	id, instance   string // instance is "" for a dynamic member
	client, host   string
	session        time.Duration
	rebalance      time.Duration
	protocols      []Protocol
	protocolsBytes int64
	assignment     []byte // of the last generation that was committed

	// join and sync are the requests that wait for an answer, or nil.
	join func(JoinResponse, error)
	sync func(SyncResponse, error)
	// attempt counts the joins that waited, to tell one from the next.
	attempt uint64
	// fresh is a member that was not in any generation yet. While it waits in
	// its first join it has no id to send heartbeats with, so only that wait is
	// bounded.
	fresh bool
	// owesSync says that it is in the generation and did not ask for its
	// assignment yet.
	owesSync bool
	deadline time.Time // of its session
}

// waits says that the member's silence is the coordinator's doing.
func (m *member) waits() bool { return !m.fresh && (m.join != nil || m.sync != nil) }

// cost is what the member is taken to hold.
func (m *member) cost() int64 {
	return memberCost + 2*int64(len(m.id)) + int64(len(m.instance)+len(m.client)+len(m.host)+len(m.assignment)) + m.protocolsBytes
}

// metadata is the member's for a protocol. ok is false if it has none.
func (m *member) metadata(protocol string) (data []byte, ok bool) {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata, true
		}
	}
	return nil, false
}

// offers says that the member's protocols are exactly these, in this order.
func (m *member) offers(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
	})
}

// answerSync answers the sync that waits, if one does.
func (m *member) answerSync(r SyncResponse, err error) {
	if done := m.sync; done != nil {
		m.sync = nil
		done(r, err)
	}
}

// memberID makes an id as Kafka does: the client's or the instance's, and a
// random UUID.
func (s *Shard) memberID(client, instance string) string {
	name := instance
	if name == "" {
		name = client
	}
	u := s.c.Entropy()
	u[6] = u[6]&0x0f | 0x40 // version 4
	u[8] = u[8]&0x3f | 0x80 // RFC 9562
	var text [32]byte
	hex.Encode(text[:], u[:])
	t := string(text[:])
	return name + "-" + t[:8] + "-" + t[8:12] + "-" + t[12:16] + "-" + t[16:20] + "-" + t[20:]
}

// cut returns at most n bytes of text, and no half of a rune of it.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// copyProtocols makes the shard's own copy, in one allocation for the metadata.
func copyProtocols(protocols []Protocol) (own []Protocol, bytes int64) {
	for _, p := range protocols {
		bytes += int64(len(p.Metadata))
	}
	all := make([]byte, 0, bytes)
	own = make([]Protocol, len(protocols))
	for i, p := range protocols {
		all = append(all, p.Metadata...)
		own[i] = Protocol{Name: p.Name, Metadata: all[len(all)-len(p.Metadata) : len(all) : len(all)]}
		bytes += int64(len(p.Name))
	}
	return own, bytes
}
