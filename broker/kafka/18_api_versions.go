package kafka

// ApiVersions, versions 0 to 4.
//
// Version 3 names the client's software (KIP-511) and has features (KIP-584).
//
//   - A version that is not served is answered with a body of version 0 that
//     says which are (KIP-511). The response's header is always version 0.
//   - Produce is given from version 0 on, although 0 to 2 are not served: older
//     librdkafka turns features off without it (KAFKA-18659).
//   - No feature is named: without transaction.version clients use the first
//     version of the transaction protocol, without group.version the classic
//     group protocol.
//   - It is answered also while the broker does not serve (K4).

import (
	"sort"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const apiVersionsKey = 18

func apiVersions(h *Handlers, c *Call) {
	r := kmsg.NewPtrApiVersionsResponse()
	if c.Unsupported {
		r.ErrorCode = kerr.UnsupportedVersion.Code
		r.ApiKeys = advertised(apiVersionsKey)
		r.SetVersion(0)
		c.Reply(r.AppendTo(nil))
		return
	}
	q := kmsg.NewPtrApiVersionsRequest()
	if err := decode(c, q); err != nil {
		c.Fail(err)
		return
	}
	if c.Version >= 3 {
		if !validSoftware(q.ClientSoftwareName) || !validSoftware(q.ClientSoftwareVersion) {
			r.ErrorCode = kerr.InvalidRequest.Code
			c.Respond(r)
			return
		}
		c.Conn.SetSoftware(q.ClientSoftwareName, q.ClientSoftwareVersion)
	}
	r.ApiKeys = advertised(-1)
	c.Respond(r)
}

// advertised returns the rows of the table as clients are to see them, in the
// order of their keys; only that of one key unless it is -1.
func advertised(only int16) []kmsg.ApiVersionsResponseApiKey {
	var keys []kmsg.ApiVersionsResponseApiKey
	for _, a := range apis() {
		if only >= 0 && a.key != only {
			continue
		}
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = a.key, a.min, a.max
		if a.key == produceKey {
			k.MinVersion = 0
		}
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i].ApiKey < keys[j].ApiKey })
	return keys
}

// softwareBytesMax bounds the name and version of a client's software.
const softwareBytesMax = 256

// validSoftware follows KIP-511: letters, digits, dots and hyphens, which do not
// stand first or last.
func validSoftware(s string) bool {
	if s == "" || len(s) > softwareBytesMax {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		inside := i > 0 && i < len(s)-1 && (c == '.' || c == '-')
		if !alnum && !inside {
			return false
		}
	}
	return true
}
