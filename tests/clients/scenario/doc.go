// Package scenario is what the tests of other people's clients and the programs
// around those clients say to each other. Programs in other languages follow
// this comment; the Go types are for the driver and for the program around
// franz-go.
//
// A program is called as
//
//	PROGRAM BROKER SCENARIO FILE
//
// where FILE holds one JSON object of parameters. It prints one line, a JSON
// object of results, and ends with 0; or it says on standard error why not, and
// ends with something else. Unknown scenarios are such a failure.
//
// Bytes are base64 in parameters, null stands for no bytes. In results, more
// than 256 bytes are "sha256:" and the digest in hexadecimal.
//
// Scenarios:
//
//	produce  Produce -> Produced. Runs one after the other; records of a
//	         partition in their order. All acknowledged, or it fails.
//	consume  Consume -> Consumed. Reads each partition from where it is told
//	         to the end, which is where the log ended when it began. The last
//	         offsets may hold no record.
//	admin    Admin -> Administered, as told there.
//	restart  Restart -> Produced with one run. Sends "0", "1", ... in idempotent
//	         mode to partition 0, some at a time, until the file Until exists.
//	         The broker goes and comes meanwhile.
//	follow   Follow -> Consumed. Reads partition 0 from its start until it has
//	         the record whose value is Last. The broker goes and comes
//	         meanwhile.
//
// Scenarios of consumer groups, which only clients that have them know:
//
//	member     Member -> Membership. Joins a group, reads what it is assigned
//	           and commits what it has read, until the file Until exists; then
//	           it commits again and ends as the client ends a consumer, which a
//	           static member does without leaving. Other members and the broker
//	           come and go meanwhile. Settings are the client's own defaults but
//	           for those the parameters name and for automatic commits, which
//	           are turned off where the client can be told what to commit.
//	positions  Positions -> Positioned, as told there.
//	groups     Groups -> Grouped, as told there.
package scenario
