package kafka

// groupAPIs are the keys of consumer groups, of the classic protocol.
func groupAPIs() []api {
	return []api{
		on(2, 10, offsetCommit),
		on(1, 10, offsetFetch),
		on(0, 6, findCoordinator),
		on(0, 9, joinGroup),
		on(0, 4, heartbeat),
		on(0, 5, leaveGroup),
		on(0, 5, syncGroup),
		on(0, 6, describeGroups),
		on(0, 5, listGroups),
		on(0, 2, deleteGroups),
		on(0, 0, offsetDelete),
	}
}
