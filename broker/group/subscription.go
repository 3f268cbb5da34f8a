package group

// consumerProtocol is the protocol type of consumers, whose metadata is known to
// be a subscription.
const consumerProtocol = "consumer"

// subscription calls topic for every topic in a consumer's metadata, which any
// client may have made up, and reports whether the metadata could be read.
// Versions after 0 only append fields to it. The slice aliases b; a topic may be
// reported although what follows it turns out to be malformed.
func subscription(b []byte, topic func(name []byte)) bool {
	_, ok := readSubscription(b, topic)
	return ok
}

// readSubscription returns what is behind version 0, nil for that version.
func readSubscription(b []byte, topic func(name []byte)) (rest []byte, ok bool) {
	r := reader{b: b}
	version := r.int16()
	if version < 0 {
		return nil, false
	}
	for range r.array(false, 2) {
		name := r.bytes(false, 2)
		if r.bad {
			return nil, false
		}
		topic(name)
	}
	r.nullable(false, 4) // user data
	if r.bad || version == 0 {
		return nil, !r.bad
	}
	return r.b, true
}

// partitions calls f for every partition in a list of topics with their
// partitions, up to where it is malformed.
func (r *reader) partitions(f func(topic []byte, partition int32)) {
	for range r.array(false, 6) {
		topic := r.bytes(false, 2)
		for range r.array(false, 4) {
			if p := r.int32(); !r.bad {
				f(topic, p)
			}
		}
	}
}

// owesJoin says that the generation took a partition away from a cooperative
// member, which is to join again so that another one gets it (KIP-429): it joined
// with partitions that are not in its assignment. It is false of what cannot be
// read.
func owesJoin(metadata, assignment []byte) bool {
	rest, ok := readSubscription(metadata, func([]byte) {})
	if !ok || len(rest) == 0 {
		return false
	}
	type place struct {
		topic     string
		partition int32
	}
	keeps := map[place]bool{}
	a := reader{b: assignment}
	if a.int16() < 0 {
		return false
	}
	a.partitions(func(topic []byte, partition int32) { keeps[place{string(topic), partition}] = true })
	owned, owes := reader{b: rest}, false
	owned.partitions(func(topic []byte, partition int32) { owes = owes || !keeps[place{string(topic), partition}] })
	return owes && !a.bad && !owned.bad
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
