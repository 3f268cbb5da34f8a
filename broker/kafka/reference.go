package kafka

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const referenceIntro = `
# API keys

Every key and version of the Kafka protocol that the broker serves, as ApiVersions names them to clients; other requests close their connection. The lowest and highest versions are those of Apache Kafka 4.3.1.
`

// referenceNotes says of each key what differs from Kafka. The key's file has
// the details; a test fails when a row of the table is missing here.
var referenceNotes = map[int16]string{
	0:  "ApiVersions names version 0 as the lowest, for older librdkafka (KAFKA-18659). No transactions.",
	1:  "No sessions: every answer has every partition. No transactions.",
	2:  "Nothing is tiered yet.",
	3:  "Authorized operations are not computed.",
	8:  "",
	9:  "Every offset is stable: no transactions.",
	10: "Transactions and share groups are refused.",
	11: "",
	12: "",
	13: "",
	14: "",
	15: "Authorized operations are not computed.",
	16: "Every group is of type classic. The answer waits for groups that are being loaded.",
	18: "No feature is named, so clients use the first version of the transaction protocol and classic groups.",
	19: "No mutation quota. Names of internal topics are refused.",
	20: "No mutation quota. Internal topics are refused.",
	21: "",
	22: "No transactional ids.",
	23: "",
	32: "Topics and brokers only.",
	35: "One directory, never cordoned.",
	37: "No mutation quota. Internal topics are refused.",
	44: "Topics, and the settings of all brokers (empty name) only.",
	42: "",
	47: "",
	60: "No broker is ever fenced. Every broker names itself as the controller.",
}

// Reference renders docs/reference/api-versions.md without its first line, the
// marker of generated pages.
func Reference() []byte {
	var out bytes.Buffer
	out.WriteString(referenceIntro)
	out.WriteString("\n| key | API | lowest | highest | differs from Kafka |\n|---|---|---|---|---|\n")
	rows := apis()
	slices.SortFunc(rows, func(a, b api) int { return int(a.key) - int(b.key) })
	for _, a := range rows {
		fmt.Fprintf(&out, "| %d | %s | %d | %d | %s |\n", a.key, kmsg.NameForKey(a.key), a.min, a.max, referenceNotes[a.key])
	}
	return out.Bytes()
}
