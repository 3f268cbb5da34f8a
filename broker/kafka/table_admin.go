package kafka

// adminAPIs are the keys that describe and change topics, settings and the
// cluster.
func adminAPIs() []api {
	return []api{
		on(2, 7, createTopics),
		on(1, 6, deleteTopics),
		on(0, 2, deleteRecords),
		on(1, 4, describeConfigs),
		on(1, 5, describeLogDirs),
		on(0, 3, createPartitions),
		on(0, 1, incrementalAlterConfigs),
		on(0, 2, describeCluster),
	}
}
