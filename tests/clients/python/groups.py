"""Scenarios of consumer groups with confluent-kafka-python."""

import os
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

PATIENCE = 240  # seconds; running into it is a failure in any case


def fail(why):
    raise SystemExit(f"python: {why}")


def group_consumer(broker, group, **more):
    out = {"bootstrap.servers": broker, "group.id": group, "auto.offset.reset": "earliest"}
    out["enable.auto.commit"] = False
    for name, value in more.items():
        out[name.replace("_", ".")] = value
    return Consumer(out)


def member(broker, params, got):
    more = {"group_instance_id": params["instance"]} if params["instance"] else {}
    c = group_consumer(broker, params["group"], partition_assignment_strategy=params["strategy"], **more)
    events = []

    def note(kind):
        return lambda _, partitions: events.append({kind: sorted(p.partition for p in partitions)})

    def commit():
        try:
            done = c.commit(asynchronous=False)
            events.append({"committed": [{"partition": p.partition, "offset": p.offset} for p in done]})
        except KafkaException as e:
            if e.args[0].code() != KafkaError._NO_OFFSET:
                events.append({"failed": str(e.args[0])})

    c.subscribe([params["topic"]], on_assign=note("assigned"), on_revoke=note("revoked"), on_lost=note("revoked"))
    deadline = time.monotonic() + PATIENCE
    ending = False
    while not ending:
        if time.monotonic() > deadline:
            fail(f"not told to end; the last events are {events[-3:]}")
        ending = os.path.exists(params["until"])
        some = c.consume(500, timeout=0.1)
        for m in some:
            if m.error() is None:
                events.append({"record": got(m)})
            elif not m.error().retriable() and m.error().code() not in (
                KafkaError._TRANSPORT,
                KafkaError._ALL_BROKERS_DOWN,
            ):
                fail(f"consume: {m.error()}")
        if some:
            commit()
    commit()
    c.close()
    return {"events": events}


def positions(broker, params):
    topic = params["topic"]
    c = group_consumer(broker, params["group"])
    c.subscribe([topic])

    def read():
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            m = c.poll(1)
            if m is None:
                continue
            if m.error() is not None:
                fail(f"consume: {m.error()}")
            return m
        fail("no record")

    out = {"read": 0}
    while read().offset() < 9:
        out["read"] += 1
    out["read"] += 1
    c.commit(offsets=[TopicPartition(topic, 0, 4, metadata="note")], asynchronous=False)
    at = c.committed([TopicPartition(topic, 0)], timeout=PATIENCE)[0]
    out["committed"], out["metadata"] = at.offset, at.metadata
    c.seek(TopicPartition(topic, 0, 2))
    out["sought"] = read().offset()
    c.commit(offsets=[TopicPartition(topic, 0, 10)], asynchronous=True)
    c.close()
    other = group_consumer(broker, params["group"])
    out["after"] = other.committed([TopicPartition(topic, 0)], timeout=PATIENCE)[0].offset
    other.close()
    return out


def groups(broker, params):
    group, topic = params["group"], params["topic"]
    a = AdminClient({"bootstrap.servers": broker})

    def listed():
        return group in [g.group_id for g in a.list_consumer_groups().result(PATIENCE).valid]

    def offsets():
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in range(4)])
        found = a.list_consumer_group_offsets([asked])[group].result(PATIENCE).topic_partitions
        return [max(p.offset, -1) for p in sorted(found, key=lambda p: p.partition)]

    out = {"listed": listed()}
    described = a.describe_consumer_groups([group])[group].result(PATIENCE)
    out["state"], out["members"] = described.state.name.lower(), len(described.members)
    out["offsets"] = offsets()
    new = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3)])
    a.alter_consumer_group_offsets([new])[group].result(PATIENCE)
    out["reset"] = offsets()[0]
    a.delete_consumer_groups([group])[group].result(PATIENCE)
    out["left"] = listed()
    try:
        a.delete_consumer_groups([group])[group].result(PATIENCE)
    except KafkaException as e:
        out["gone"] = e.args[0].code()
    return out
