// Runs the scenarios of tests/clients/scenario with kafkajs.
'use strict'

const { createHash } = require('node:crypto')
const fs = require('node:fs')
const { setTimeout: sleep } = require('node:timers/promises')
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, Partitioners, logLevel } = require('kafkajs')
const lz4 = require('lz4js')
const xxh32 = require('lz4js/xxh32')
const zstd = require('@bokuweb/zstd-wasm')
const assigned = require('./assigned')
const groups = require('./groups')

// independent says in the frame's header what is true of a frame of one block,
// that no block needs another. Kafka takes no other frames, and lz4js says the
// opposite of all.
function independent(bytes) {
  const frame = Buffer.from(bytes)
  frame[4] |= 0x20
  frame[6] = xxh32.hash(0, frame, 4, 2) >> 8
  return frame
}

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => independent(lz4.compress(encoder.buffer)),
  decompress: async buffer => Buffer.from(lz4.decompress(buffer)),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => Buffer.from(zstd.compress(encoder.buffer, 3)),
  decompress: async buffer => Buffer.from(zstd.decompress(buffer)),
})

const types = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

const firstTime = 1700000000000
const retention = 'retention.ms'

function unblob(text) {
  return text == null ? null : Buffer.from(text, 'base64')
}

function blob(data) {
  if (data == null) return null
  if (data.length > 256) return 'sha256:' + createHash('sha256').update(data).digest('hex')
  return data.toString('base64')
}

function connect(broker) {
  return new Kafka({
    clientId: 'kafkajs',
    brokers: [broker],
    logLevel: logLevel.ERROR,
    // Standard output is for results.
    logCreator: () => ({ log }) => console.error(log.message, JSON.stringify(log)),
    retry: { initialRetryTime: 50, maxRetryTime: 300, retries: 100 },
  })
}

// plain is a client with kafkajs' own settings.
function plain(broker) {
  return new Kafka({
    clientId: 'kafkajs',
    brokers: [broker],
    logLevel: logLevel.ERROR,
    logCreator: () => ({ log }) => console.error(log.message, JSON.stringify(log)),
  })
}

// pack brings a record into the form of kafkajs, whose headers are an object
// with an array where a name has several values.
function pack(r) {
  const message = { partition: r.partition, key: unblob(r.key), value: unblob(r.value), headers: {} }
  if (r.timestamp) message.timestamp = String(r.timestamp)
  for (const { name, value } of r.headers || []) {
    if (!(name in message.headers)) message.headers[name] = unblob(value)
    else message.headers[name] = [].concat(message.headers[name], [unblob(value)])
  }
  return message
}

// send sends records in order. All records of one call that go to one partition
// are one batch, so a long one gets a call of its own.
async function send(producer, topic, records, compression) {
  const acks = []
  let some = []
  async function flush() {
    if (some.length === 0) return
    const answers = await producer.send({ topic, acks: -1, compression, messages: some.map(pack) })
    const next = {}
    for (const a of answers) {
      if (a.errorCode !== 0) throw new Error(`partition ${a.partition}: error ${a.errorCode}`)
      next[a.partition] = Number(a.baseOffset)
    }
    for (const r of some) acks.push({ partition: r.partition, offset: next[r.partition]++, timestamp: null })
    some = []
  }
  for (const r of records) {
    const long = (r.value || '').length > 100000
    if (long) await flush()
    some.push(r)
    if (long) await flush()
  }
  await flush()
  return acks
}

function newProducer(kafka, idempotent) {
  return kafka.producer({
    idempotent,
    maxInFlightRequests: 1,
    createPartitioner: Partitioners.DefaultPartitioner,
  })
}

async function produce(broker, params) {
  await zstd.init()
  const runs = []
  for (const run of params.runs) {
    const producer = newProducer(connect(broker), run.idempotent)
    await producer.connect()
    runs.push(await send(producer, run.topic, run.records, types[run.codec]))
    await producer.disconnect()
  }
  return { runs }
}

function got(topic, partition, m) {
  const headers = []
  for (const [name, values] of Object.entries(m.headers || {})) {
    for (const value of [].concat(values)) headers.push({ name, value: blob(value) })
  }
  return {
    topic,
    partition,
    offset: Number(m.offset),
    timestamp: Number(m.timestamp),
    key: blob(m.key),
    value: blob(m.value),
    headers,
  }
}

async function consume(broker, params) {
  await zstd.init()
  const admin = connect(broker).admin()
  await admin.connect()
  const reads = []
  for (const topic of new Set(params.reads.map(r => r.topic))) {
    const ends = new Map((await admin.fetchTopicOffsets(topic)).map(o => [o.partition, Number(o.high)]))
    const since = new Map()
    for (const r of params.reads.filter(r => r.topic === topic)) {
      let offset = r.offset
      if (r.timestamp) {
        if (!since.has(r.timestamp)) since.set(r.timestamp, await admin.fetchTopicOffsetsByTimestamp(topic, r.timestamp))
        offset = Number(since.get(r.timestamp).find(o => o.partition === r.partition).offset)
      }
      reads.push({ topic, partition: r.partition, offset, end: ends.get(r.partition) })
    }
  }
  await admin.disconnect()
  const records = []
  const ends = await assigned.read(broker, params.committed, reads, (topic, partition, m) => {
    records.push(got(topic, partition, m))
  })
  return { records, ends }
}

async function follow(broker, params) {
  const records = []
  const last = unblob(params.last)
  const read = [{ topic: params.topic, partition: 0, offset: 0, end: Infinity }]
  await assigned.read(broker, false, read, (topic, partition, m) => {
    records.push(got(topic, partition, m))
    return last.equals(m.value)
  })
  return { records }
}

async function restart(broker, params) {
  const producer = newProducer(connect(broker), true)
  await producer.connect()
  const acks = []
  for (let n = 0; !fs.existsSync(params.until); ) {
    const some = []
    for (let i = 0; i < 5; i++) some.push({ partition: 0, value: Buffer.from(String(n++)).toString('base64') })
    acks.push(...(await send(producer, params.topic, some, CompressionTypes.None)))
    await sleep(5)
  }
  await producer.disconnect()
  return { runs: [acks] }
}

// code returns the protocol's code of the error that f ends with.
async function code(f) {
  try {
    await f()
    return 0
  } catch (e) {
    // What the broker answered is inside what the retries ended with.
    for (let inner = e; inner; inner = inner.cause) if (typeof inner.code === 'number') return inner.code
    throw e
  }
}

async function admin(broker, params) {
  const { topic } = params
  const kafka = connect(broker)
  const a = kafka.admin({ retry: { initialRetryTime: 50, retries: 3 } })
  await a.connect()
  const out = {}
  const create = () =>
    a.createTopics({
      topics: [
        { topic, numPartitions: 3, replicationFactor: 1, configEntries: [{ name: retention, value: '3600000' }] },
      ],
    })
  const partitions = async () => (await a.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length
  const listed = async () => (await a.listTopics()).includes(topic)

  if (!(await create())) throw new Error(`${topic} exists`)
  // A topic that exists is no error for kafkajs, only not created.
  out.again = (await create()) ? 0 : 36
  out.listed = await listed()
  out.partitions = await partitions()
  const described = await a.describeConfigs({
    includeSynonyms: true,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: [retention] }],
  })
  out.retention = described.resources[0].configEntries.find(e => e.configName === retention).configValue
  await a.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
  out.raised = await partitions()
  const records = []
  for (let i = 0; i < 10; i++) {
    records.push({ partition: 0, value: Buffer.from(String(i)).toString('base64'), timestamp: firstTime + 1000 * i })
  }
  const producer = newProducer(kafka, false)
  await producer.connect()
  await send(producer, topic, records, CompressionTypes.None)
  await producer.disconnect()
  await a.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] })
  const offsets = (await a.fetchTopicOffsets(topic)).find(o => o.partition === 0)
  out.earliest = Number(offsets.low)
  out.latest = Number(offsets.high)
  const times = await a.fetchTopicOffsetsByTimestamp(topic, firstTime + 6000)
  out.by_time = Number(times.find(o => o.partition === 0).offset)
  const cluster = await a.describeCluster()
  out.cluster = {
    id: cluster.clusterId,
    controller: cluster.controller,
    brokers: cluster.brokers.map(b => b.nodeId),
  }
  await a.deleteTopics({ topics: [topic] })
  out.left = await listed()
  out.gone = await code(() => a.deleteTopics({ topics: [topic] }))
  await a.disconnect()
  return out
}

async function main() {
  const [broker, name, file] = process.argv.slice(2)
  const scenario = {
    produce,
    consume,
    admin,
    restart,
    follow,
    member: (broker, params) => groups.member(plain(broker), params, got),
    positions: (broker, params) => groups.positions(plain(broker), params),
    groups: (broker, params) => groups.groups(plain(broker), params, code),
  }[name]
  if (!file) throw new Error('usage: client.js BROKER SCENARIO FILE')
  if (!scenario) throw new Error(`no scenario ${name}`)
  const results = await scenario(broker, JSON.parse(fs.readFileSync(file)))
  await new Promise(resolve => process.stdout.write(JSON.stringify(results) + '\n', resolve))
}

main().then(
  () => process.exit(0),
  e => {
    console.error('kafkajs:', e)
    process.exit(1)
  }
)
