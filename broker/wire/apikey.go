package wire

import (
	"math"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The API keys whose headers or frames differ from all others.
const (
	keyProduce            = 0
	keyControlledShutdown = 7
	keyApiVersions        = 18
)

const (
	neverFlexible = math.MaxInt16     // no version has tagged fields
	unknownKey    = math.MaxInt16 - 1 // there is no such key
)

// flexibleVersions has the first version with tagged fields of every key.
var flexibleVersions = sync.OnceValue(func() *[kmsg.MaxKey + 1]int16 {
	var table [kmsg.MaxKey + 1]int16
	for key := range table {
		table[key] = unknownKey
		req := kmsg.RequestForKey(int16(key))
		if req == nil {
			continue
		}
		table[key] = neverFlexible
		for v := int16(0); v <= req.MaxVersion(); v++ {
			if req.SetVersion(v); req.IsFlexible() {
				table[key] = v
				break
			}
		}
	}
	return &table
})

// flexibleFrom returns the first version of key with tagged fields,
// neverFlexible or unknownKey.
func flexibleFrom(key int16) int16 {
	if key < 0 || key > kmsg.MaxKey {
		return unknownKey
	}
	return flexibleVersions()[key]
}

// flexible reports whether a version of a known key has tagged fields, in its
// request header (v2 instead of v1) as in its body.
func flexible(key, version int16) bool {
	from := flexibleFrom(key)
	return from != unknownKey && version >= from && from != neverFlexible
}

// taggedReply reports whether the response header of a version has tagged
// fields (v1 instead of v0). That of ApiVersions never does, since a client
// reads it before it knows what the broker speaks (KIP-511).
func taggedReply(key, version int16) bool {
	return key != keyApiVersions && flexible(key, version)
}
