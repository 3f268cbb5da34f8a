package group

// consumerProtocol is the protocol type of consumers, whose metadata is known to
// be a subscription.
const consumerProtocol = "consumer"

// subscription calls topic for every topic in a consumer's metadata, which any
// client may have made up, and reports whether the metadata could be read.
// Versions after 0 only append fields to it. The slice aliases b; a topic may be
// reported although what follows it turns out to be malformed.
func subscription(b []byte, topic func(name []byte)) bool {
	r := reader{b: b}
	if version := r.int16(); version < 0 {
		return false
	}
	for range r.array(false, 2) {
		name := r.bytes(false, 2)
		if r.bad {
			return false
		}
		topic(name)
	}
	r.nullable(false, 4) // user data
	return !r.bad
}

// subscriptions calls topic for the topics that the group's members subscribe
// to, some perhaps several times. It reports false if that cannot be told.
func (g *group) subscriptions(topic func(name []byte)) bool {
	for _, m := range g.order {
		data, ok := m.metadata(g.protocol)
		if !ok || !subscription(data, topic) {
			return false
		}
	}
	return true
}
