// Scenarios of consumer groups with kafkajs.
'use strict'

const fs = require('node:fs')
const { setTimeout: sleep } = require('node:timers/promises')

const patience = 240000 // milliseconds; running into it is a failure in any case

// member lets kafkajs commit by itself, which it does after each batch.
async function member(kafka, params, got) {
  if (params.strategy !== 'roundrobin') throw new Error(`no strategy ${params.strategy}`)
  const consumer = kafka.consumer({ groupId: params.group })
  const events = []
  let crash
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    events.push({ assigned: payload.memberAssignment[params.topic] || [] })
  })
  consumer.on(consumer.events.REBALANCING, () => events.push({ revoked: [] }))
  consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) => {
    const committed = []
    for (const { partitions } of payload.topics) {
      for (const p of partitions) committed.push({ partition: Number(p.partition), offset: Number(p.offset) })
    }
    if (committed.length > 0) events.push({ committed })
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    events.push({ failed: String(payload.error) })
    if (!payload.restart) crash = payload.error
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [params.topic], fromBeginning: true })
  await consumer.run({
    autoCommitThreshold: params.exact ? 1 : null,
    eachMessage: async ({ topic, partition, message }) => {
      events.push({ record: got(topic, partition, message) })
    },
  })
  const start = Date.now()
  while (!fs.existsSync(params.until)) {
    if (crash) throw crash
    if (Date.now() - start > patience) throw new Error(`not told to end: ${JSON.stringify(events.slice(-3))}`)
    await sleep(20)
  }
  await consumer.disconnect()
  return { events }
}

async function positions(kafka, params) {
  const { topic } = params
  const admin = kafka.admin()
  await admin.connect()
  const committed = async () =>
    (await admin.fetchOffsets({ groupId: params.group, topics: [topic] }))[0].partitions[0]
  const consumer = kafka.consumer({ groupId: params.group })
  const read = []
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => read.push(Number(message.offset)) })
  const until = async condition => {
    for (const start = Date.now(); !condition(); await sleep(10)) {
      if (Date.now() - start > patience) throw new Error(`no record after ${read}`)
    }
  }
  const out = {}
  await until(() => read.length === 10)
  out.read = read.length
  await consumer.commitOffsets([{ topic, partition: 0, offset: '4', metadata: 'note' }])
  const at = await committed()
  out.committed = Number(at.offset)
  out.metadata = at.metadata
  consumer.seek({ topic, partition: 0, offset: '2' })
  await until(() => read.length > 10)
  out.sought = read[10]
  await consumer.commitOffsets([{ topic, partition: 0, offset: '10' }])
  await consumer.disconnect()
  out.after = Number((await committed()).offset)
  await admin.disconnect()
  return out
}

async function groups(kafka, params, code) {
  const { topic, group } = params
  const admin = kafka.admin({ retry: { retries: 3 } })
  await admin.connect()
  const listed = async () => (await admin.listGroups()).groups.some(g => g.groupId === group)
  const offsets = async () => {
    const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    return partitions.sort((a, b) => a.partition - b.partition).map(p => Number(p.offset))
  }
  const out = { listed: await listed() }
  const described = (await admin.describeGroups([group])).groups[0]
  out.state = described.state.toLowerCase()
  out.members = described.members.length
  out.offsets = await offsets()
  await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: '3' }] })
  out.reset = (await offsets())[0]
  await admin.deleteGroups([group])
  out.left = await listed()
  out.gone = await code(async () => {
    try {
      await admin.deleteGroups([group])
    } catch (e) {
      throw e.groups ? { code: e.groups[0].errorCode } : e
    }
  })
  await admin.disconnect()
  return out
}

module.exports = { member, positions, groups }
