// Reads partitions without a consumer group, which kafkajs has no public call
// for: its consumer is always a member of one. So this uses the inside of
// kafkajs, which is its real cluster, connections, requests and decoders; only
// the loop is ours.
'use strict'

const { setTimeout: sleep } = require('node:timers/promises')
const Cluster = require('kafkajs/src/cluster')
const { createLogger, LEVELS } = require('kafkajs/src/loggers')
const socketFactory = require('kafkajs/src/network/socketFactory')
const Batch = require('kafkajs/src/consumer/batch')

const patience = 60000 // milliseconds without a record; a failure in any case

async function connected(broker, isolationLevel) {
  const cluster = new Cluster({
    logger: createLogger({ level: LEVELS.NOTHING, logCreator: () => () => {} }),
    socketFactory: socketFactory(),
    brokers: [broker],
    clientId: 'kafkajs',
    connectionTimeout: 1000,
    enforceRequestTimeout: true,
    metadataMaxAge: 300000,
    retry: { initialRetryTime: 50, maxRetryTime: 300, retries: 100 },
    isolationLevel,
  })
  await cluster.connect()
  return cluster
}

// read calls each(topic, partition, message) for every message of the reads,
// { topic, partition, offset, end }, until they are at their ends or each
// returns true. It returns how far they are.
async function read(broker, committed, reads, each) {
  const isolationLevel = committed ? 1 : 0
  const cluster = await connected(broker, isolationLevel)
  const open = new Map()
  for (const r of reads) {
    if (r.offset >= 0 && r.offset < r.end) open.set(`${r.topic}-${r.partition}`, { ...r, lag: null })
  }
  const all = [...open.values()]
  const topics = [...new Set(reads.map(r => r.topic))]
  let since = Date.now()
  let stop = false
  let last
  while (open.size > 0 && !stop) {
    if (Date.now() - since > patience) throw new Error(`nothing more comes of ${[...open.keys()]}; last: ${last}`)
    try {
      await cluster.addMultipleTargetTopics(topics)
      await cluster.refreshMetadataIfNecessary()
      for (const [nodeId, partitions] of leaders(cluster, topics, open)) {
        const node = await cluster.findBroker({ nodeId })
        const batches = await fetch(node, partitions, isolationLevel)
        for (const { batch, at } of batches) {
          for (const m of batch.messages) {
            if (Number(m.offset) >= at.end || stop) break
            stop = each(at.topic, at.partition, m) === true
            since = Date.now()
          }
          // An empty batch still moves the place where to go on.
          if (batch.rawMessages.length > 0) {
            at.offset = Number(batch.lastOffset()) + 1
            at.lag = Number(batch.offsetLag())
          }
          if (at.offset >= at.end) open.delete(`${at.topic}-${at.partition}`)
        }
      }
    } catch (e) {
      // The broker is away, or is not the leader any more.
      last = e
      await sleep(50)
      await cluster.refreshMetadata().catch(() => {})
    }
  }
  await cluster.disconnect()
  return all.map(({ topic, partition, offset, lag }) => ({ topic, partition, position: offset, lag }))
}

function leaders(cluster, topics, open) {
  const out = new Map()
  for (const topic of topics) {
    const partitions = [...open.values()].filter(r => r.topic === topic)
    const byLeader = cluster.findLeaderForPartitions(topic, partitions.map(r => r.partition))
    for (const [leader, list] of Object.entries(byLeader)) {
      const of = partitions.filter(r => list.includes(r.partition))
      out.set(leader, [...(out.get(leader) || []), ...of])
    }
  }
  return out
}

async function fetch(node, partitions, isolationLevel) {
  const topics = [...new Set(partitions.map(r => r.topic))].map(topic => ({
    topic,
    partitions: partitions
      .filter(r => r.topic === topic)
      .map(r => ({ partition: r.partition, fetchOffset: String(r.offset), maxBytes: 1048576 })),
  }))
  const answer = await node.fetch({
    maxWaitTime: 200,
    minBytes: 1,
    maxBytes: 10485760,
    isolationLevel,
    topics,
  })
  const out = []
  for (const { topicName, partitions: answered } of answer.responses) {
    for (const p of answered) {
      const at = partitions.find(r => r.topic === topicName && r.partition === p.partition)
      out.push({ batch: new Batch(topicName, String(at.offset), p), at })
    }
  }
  return out
}

module.exports = { read }
