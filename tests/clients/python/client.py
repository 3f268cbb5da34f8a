"""Runs the scenarios of tests/clients/scenario with confluent-kafka-python."""

import base64
import hashlib
import json
import os
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

import groups

PATIENCE = 120  # seconds; running into it is a failure in any case
FIRST_TIME = 1_700_000_000_000


def unblob(text):
    return None if text is None else base64.b64decode(text)


def blob(data):
    if data is None:
        return None
    if len(data) > 256:
        return "sha256:" + hashlib.sha256(data).hexdigest()
    return base64.b64encode(data).decode()


def fail(why):
    raise SystemExit(f"python: {why}")


def settings(broker, **more):
    out = {
        "bootstrap.servers": broker,
        "retry.backoff.ms": 50,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200,
        "topic.metadata.refresh.fast.interval.ms": 50,
    }
    for name, value in more.items():
        out[name.replace("_", ".")] = value
    return out


def send(producer, topic, records):
    """Sends records and returns what the producer was told about them, in order."""
    acks = [None] * len(records)
    errors = []

    def told(index):
        def callback(error, message):
            if error is not None:
                errors.append(f"record {index}: {error}")
                return
            acks[index] = {
                "partition": message.partition(),
                "offset": message.offset(),
                "timestamp": message.timestamp()[1],
            }

        return callback

    for i, r in enumerate(records):
        more = {"timestamp": r["timestamp"]} if r.get("timestamp") else {}
        headers = [(h["name"], unblob(h["value"])) for h in r.get("headers") or []]
        producer.produce(
            topic,
            value=unblob(r["value"]),
            key=unblob(r.get("key")),
            partition=r["partition"],
            headers=headers or None,
            on_delivery=told(i),
            **more,
        )
        producer.poll(0)
    left = producer.flush(PATIENCE)
    if left or errors:
        fail(f"produce to {topic}: {left} unsent, errors {errors}")
    return acks


def produce(broker, params):
    runs = []
    for run in params["runs"]:
        producer = Producer(
            settings(
                broker,
                compression_type=run["codec"],
                enable_idempotence=run["idempotent"],
                message_max_bytes=2_000_000,
                linger_ms=20,
            )
        )
        runs.append(send(producer, run["topic"], run["records"]))
    return {"runs": runs}


def consumer(broker, committed):
    return Consumer(
        settings(
            broker,
            group_id="none",  # demanded by the constructor, used for nothing
            enable_auto_commit=False,
            enable_partition_eof=True,
            auto_offset_reset="error",
            isolation_level="read_committed" if committed else "read_uncommitted",
        )
    )


def got(m):
    return {
        "topic": m.topic(),
        "partition": m.partition(),
        "offset": m.offset(),
        "timestamp": m.timestamp()[1],
        "key": blob(m.key()),
        "value": blob(m.value()),
        "headers": [{"name": k, "value": blob(v)} for k, v in m.headers() or []],
    }


def consume(broker, params):
    c = consumer(broker, params["committed"])
    assigned = []
    by_time = []
    for r in params["reads"]:
        if r["timestamp"]:
            by_time.append(TopicPartition(r["topic"], r["partition"], r["timestamp"]))
        else:
            assigned.append(TopicPartition(r["topic"], r["partition"], r["offset"]))
    if by_time:
        assigned += c.offsets_for_times(by_time, timeout=PATIENCE)
    c.assign(assigned)
    left = {(p.topic, p.partition) for p in assigned}
    records, ends = [], []
    deadline = time.monotonic() + PATIENCE
    while left:
        if time.monotonic() > deadline:
            fail(f"no end of {sorted(left)}")
        m = c.poll(1)
        if m is None:
            continue
        if m.error() is None:
            records.append(got(m))
        elif m.error().code() == KafkaError._PARTITION_EOF:
            if (m.topic(), m.partition()) in left:
                left.discard((m.topic(), m.partition()))
                ends.append(end(c, m))
        else:
            fail(f"consume {m.topic()}-{m.partition()}: {m.error()}")
    c.close()
    return {"records": records, "ends": ends}


def end(c, m):
    """Returns where a partition is read to. What would be committed, and so the
    lag, counts from the last record or control record that came."""
    at = TopicPartition(m.topic(), m.partition())
    _, high = c.get_watermark_offsets(at, cached=True)
    position = c.position([at])[0].offset
    lag = high - position if position >= 0 else None
    return {"topic": m.topic(), "partition": m.partition(), "position": m.offset(), "lag": lag}


def follow(broker, params):
    c = consumer(broker, False)
    c.assign([TopicPartition(params["topic"], 0, 0)])
    records = []
    deadline = time.monotonic() + PATIENCE
    while True:
        if time.monotonic() > deadline:
            fail(f"the last record does not come, the newest is {records[-1:]}")
        m = c.poll(1)
        if m is None:
            continue
        if m.error() is not None:
            # What the client goes on after by itself, it reports as well.
            if m.error().retriable() or m.error().code() in (
                KafkaError._PARTITION_EOF,
                KafkaError._TRANSPORT,
                KafkaError._ALL_BROKERS_DOWN,
            ):
                continue
            fail(f"consume: {m.error()}")
        records.append(got(m))
        if m.value() == unblob(params["last"]):
            c.close()
            return {"records": records}


def restart(broker, params):
    producer = Producer(settings(broker, enable_idempotence=True, linger_ms=0))
    acks = []
    n = 0
    while not os.path.exists(params["until"]):
        some = []
        for _ in range(5):
            some.append({"partition": 0, "value": base64.b64encode(str(n).encode())})
            n += 1
        acks += send(producer, params["topic"], some)
        time.sleep(0.005)
    return {"runs": [acks]}


def code(future):
    """Returns the error code a future ends with, 0 without an error."""
    try:
        future.result(PATIENCE)
        return 0
    except KafkaException as e:
        return e.args[0].code()


def admin(broker, params):
    topic = params["topic"]
    a = AdminClient(settings(broker))
    out = {}

    def create():
        new = NewTopic(topic, 3, 1, config={"retention.ms": "3600000"})
        return code(a.create_topics([new])[topic])

    def listed():
        return topic in a.list_topics(timeout=PATIENCE).topics

    def partitions():
        futures = a.describe_topics(TopicCollection([topic]))
        return len(futures[topic].result(PATIENCE).partitions)

    resource = ConfigResource(ResourceType.TOPIC, topic)

    def retention():
        return a.describe_configs([resource])[resource].result(PATIENCE)["retention.ms"].value

    def offset(spec):
        where = TopicPartition(topic, 0)
        return a.list_offsets({where: spec})[where].result(PATIENCE).offset

    if c := create():
        fail(f"create {topic}: error {c}")
    out["again"] = create()
    out["listed"] = listed()
    out["partitions"] = partitions()
    out["retention"] = retention()
    change = ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
    a.incremental_alter_configs([changed])[changed].result(PATIENCE)
    out["altered"] = retention()
    a.create_partitions([NewPartitions(topic, 5)])[topic].result(PATIENCE)
    out["raised"] = partitions()
    records = []
    for i in range(10):
        value = base64.b64encode(str(i).encode())
        records.append({"partition": 0, "value": value, "timestamp": FIRST_TIME + 1000 * i})
    send(Producer(settings(broker)), topic, records)
    where = TopicPartition(topic, 0, 4)
    low = a.delete_records([where])[where].result(PATIENCE).low_watermark
    if low != 4:
        fail(f"delete records: the low watermark is {low}")
    out["earliest"] = offset(OffsetSpec.earliest())
    out["latest"] = offset(OffsetSpec.latest())
    out["by_time"] = offset(OffsetSpec.for_timestamp(FIRST_TIME + 6000))
    cluster = a.describe_cluster().result(PATIENCE)
    out["cluster"] = {
        "id": cluster.cluster_id,
        "controller": cluster.controller.id,
        "brokers": [node.id for node in cluster.nodes],
    }
    if c := code(a.delete_topics([topic])[topic]):
        fail(f"delete {topic}: error {c}")
    out["left"] = listed()
    out["gone"] = code(a.delete_topics([topic])[topic])
    return out


def main():
    if len(sys.argv) != 4:
        fail("usage: client.py BROKER SCENARIO FILE")
    scenarios = {
        "produce": produce,
        "consume": consume,
        "admin": admin,
        "restart": restart,
        "follow": follow,
        "member": lambda broker, params: groups.member(broker, params, got),
        "positions": groups.positions,
        "groups": groups.groups,
    }
    if sys.argv[2] not in scenarios:
        fail(f"no scenario {sys.argv[2]!r}")
    with open(sys.argv[3], encoding="utf-8") as f:
        params = json.load(f)
    print(json.dumps(scenarios[sys.argv[2]](sys.argv[1], params)))


if __name__ == "__main__":
    main()
