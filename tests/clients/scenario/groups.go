package scenario

// Member are the parameters of scenario member.
type Member struct {
	Topic string `json:"topic"`
	Group string `json:"group"`
	// Strategy is range, roundrobin, sticky or cooperative-sticky.
	Strategy string `json:"strategy"`
	// Instance is the group.instance.id of a static member, or empty.
	Instance string `json:"instance"`
	Until    string `json:"until"`
	// Exact asks for the client's option that has it commit offsets behind what
	// it does not hand out: of franz-go, that control records are handed out; of
	// kafkajs, that commits wait for nothing.
	Exact bool `json:"exact"`
}

// Membership are the results of scenario member.
type Membership struct {
	// Events are in the order in which they happened to the member, as far as
	// the client tells them.
	Events []Event `json:"events"`
}

// Event is one thing that happened to a member: exactly one field is set.
type Event struct {
	// Assigned are the partitions that came in addition, Revoked those that
	// went. An empty list is an event too.
	Assigned *[]int32 `json:"assigned,omitempty"`
	Revoked  *[]int32 `json:"revoked,omitempty"`
	Record   *Got     `json:"record,omitempty"`
	// Committed are offsets whose commit was acknowledged.
	Committed []Place `json:"committed,omitempty"`
	// Failed is why a commit was not acknowledged.
	Failed string `json:"failed,omitempty"`
}

// Place is an offset in a partition of the topic.
type Place struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// Positions are the parameters of scenario positions. The topic has one
// partition with ten records.
type Positions struct {
	Topic string `json:"topic"`
	Group string `json:"group"`
}

// Positioned are the results of scenario positions, which does, in this order,
// as the only member of a new group: read the ten records; commit offset 4 with
// the metadata "note" and wait until it is acknowledged; ask what is committed;
// go back to offset 2 and read one record; commit offset 10 without waiting, and
// end when that is acknowledged; ask what is committed with another client
// object. What a client has no call for it leaves null.
type Positioned struct {
	Read      *int    `json:"read"`
	Committed *int64  `json:"committed"`
	Metadata  *string `json:"metadata"`
	Sought    *int64  `json:"sought"` // offset of the record read after going back
	After     *int64  `json:"after"`
}

// Groups are the parameters of scenario groups. The group has no members.
type Groups struct {
	Topic string `json:"topic"`
	Group string `json:"group"`
}

// Grouped are the results of scenario groups, which does, in this order: list
// the groups; describe the group; ask which offsets it committed; set that of
// partition 0 to 3 and ask again; delete that of partition 1 and ask again;
// delete the group; list again; delete it again. What a client has no call for
// it leaves null.
type Grouped struct {
	Listed  *bool   `json:"listed"`
	State   *string `json:"state"` // in lower case
	Members *int    `json:"members"`
	Offsets []int64 `json:"offsets"` // of the partitions, -1 where there is none
	Reset   *int64  `json:"reset"`   // of partition 0 after
	Cleared *int64  `json:"cleared"` // of partition 1 after, -1 if there is none
	Left    *bool   `json:"left"`    // whether it was listed after its deletion
	Gone    *int16  `json:"gone"`    // error code of the second deletion
}
