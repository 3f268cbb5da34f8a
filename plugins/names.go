package plugins

import "strings"

const (
	// MaxTopicBytes is Kafka's bound on a topic name.
	MaxTopicBytes = 249
	// MaxNameBytes bounds the names of plugins and stages.
	MaxNameBytes = 128
)

const (
	lower   = "abcdefghijklmnopqrstuvwxyz"
	letters = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// CheckStageName says whether name may be a stage's: 1 to MaxNameBytes letters,
// digits and . _ - / @, so that it fits into the config plugin.chain.
func CheckStageName(name string) error {
	if name == "" || len(name) > MaxNameBytes || !only(name, letters+digits+"._-/@") {
		return fieldError("stage", name, "write 1 to 128 letters, digits and ._-/@")
	}
	return nil
}

// validPlugin holds the rule of the manifest's name: parts, separated by
// slashes, that begin with a lower-case letter or digit.
func validPlugin(name string) bool {
	if len(name) > MaxNameBytes {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || !only(part[:1], lower+digits) || !only(part, lower+digits+"._-") {
			return false
		}
	}
	return true
}

func validVersion(v string) bool {
	return len(v) <= MaxVersionBytes && only(v, letters+digits+".+-")
}

// validTarget says whether a stage may name the topic as a target: a topic name
// that is not one of the broker's own.
func validTarget(topic string) bool {
	return topic != "" && len(topic) <= MaxTopicBytes && topic != "." && topic != ".." &&
		only(topic, letters+digits+"._-") && !strings.HasPrefix(topic, "__")
}

func only(s, set string) bool {
	for i := range len(s) {
		if strings.IndexByte(set, s[i]) < 0 {
			return false
		}
	}
	return true
}

// DeadLetterHeaders begins the names of the headers that tell where and why a
// dead letter failed. A dead letter without payload keeps those that its record
// came with.
const DeadLetterHeaders = "__dlq.errors."
