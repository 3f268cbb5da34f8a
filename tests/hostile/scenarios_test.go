//go:build hostile

package hostile

// scenarios are all attacks, in the order in which they run.
func scenarios() []scenario {
	return []scenario{
		{name: "malformed frames", run: malformedFrames},
		{name: "other protocols", run: otherProtocols},
		{name: "unknown versions", run: unknownVersions},
		{name: "hostile arrays", run: hostileArrays, settings: []string{"auto.create.topics.enable=false"}},
		{name: "slow headers", run: slowHeaders},
		{name: "slow produce bodies", run: slowProduceBodies},
		{name: "slow bodies", run: slowBodies},
		{name: "unread pipelines", run: unreadPipelines},
		{name: "unread metadata", run: unreadMetadata},
		{name: "fetch flood", run: fetchFlood},
		{name: "produce flood", run: produceFlood},
		{name: "gzip bombs", run: bombs("gzip")},
		{name: "snappy bombs", run: bombs("snappy")},
		{name: "lz4 bombs", run: bombs("lz4")},
		{name: "zstd bombs", run: bombs("zstd")},
		{name: "growing batches", run: growingBatches},
		{name: "connections", run: connections},
		{name: "connection limits", run: connectionLimits, settings: []string{"max.connections.per.ip=60", "connections.max.idle.ms=1000"}},
		{name: "metadata of names", run: metadataOfNames, settings: []string{"auto.create.topics.enable=false"}},
		{name: "group flood", run: groupFlood},
		{name: "commit flood", run: commitFlood},
		{name: "producer ids", run: producerIDs},
		{name: "topic flood", run: topicFlood},
		{name: "HTTP", run: httpFlood},
	}
}
