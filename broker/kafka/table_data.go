package kafka

// dataAPIs are the rows of the keys that clients send and fetch records with.
func dataAPIs() []api {
	return []api{
		raw(produceKey, 3, 13, produce),
		on(4, 18, fetch),
		on(1, 11, listOffsets),
		on(0, 13, topicMetadata),
		raw(apiVersionsKey, 0, 4, apiVersions),
		on(0, 5, initProducerID),
		on(2, 4, offsetForLeaderEpoch),
	}
}
