"""Runs the scenarios of tests/clients/scenario with kcat."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time

PATIENCE = 120  # seconds; running into it is a failure in any case

# Separators on kcat's standard input. A record that has one of them, or
# anything else that a line cannot have, gets a process of its own.
RECORD, KEY = b"\x1e", b"\x1f"


def unblob(text):
    return None if text is None else base64.b64decode(text)


def blob(data):
    if data is None:
        return None
    if len(data) > 256:
        return "sha256:" + hashlib.sha256(data).hexdigest()
    return base64.b64encode(data).decode()


def fail(why):
    raise SystemExit(f"kcat: {why}")


def kcat(broker, *args, stdin=b""):
    """Runs kcat to its end and returns what it printed and said."""
    command = ["kcat", "-b", broker, "-X", "retry.backoff.ms=50", "-X", "reconnect.backoff.ms=20"]
    command += ["-X", "reconnect.backoff.max.ms=200", *args]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=PATIENCE, check=False)
    said = done.stderr.decode(errors="replace")
    if done.returncode != 0 or "ERROR" in said:
        fail(f"{args}: exit {done.returncode}: {said[-2000:]}")
    return done.stdout, said


DELIVERED = re.compile(r"Message delivered to partition (\d+) \(offset (\d+)\)")


def delivered(said, count):
    acks = [
        {"partition": int(m[1]), "offset": int(m[2]), "timestamp": None} for m in DELIVERED.finditer(said)
    ]
    if len(acks) != count:
        fail(f"{len(acks)} of {count} records were delivered: {said[-2000:]}")
    return acks


def simple(r):
    """Whether a record can be one line of standard input."""
    key, value = unblob(r["key"]), unblob(r["value"])
    if r["headers"] or not key or not value or len(value) > 1000:
        return False
    return not any(mark in part for mark in (RECORD, KEY) for part in (key, value))


def produce_lines(broker, args, records):
    data = b"".join(unblob(r["key"]) + KEY + unblob(r["value"]) + RECORD for r in records)
    partition = str(records[0]["partition"])
    marks = ["-K", KEY.decode(), "-D", RECORD.decode()]
    _, said = kcat(broker, *args, "-p", partition, *marks, stdin=data)
    return delivered(said, len(records))


def produce_one(broker, args, r):
    key, value = unblob(r["key"]), unblob(r["value"])
    args = [*args, "-p", str(r["partition"])]
    if key is not None:
        args += ["-k", key]
    for h in r["headers"] or []:
        name, content = h["name"].encode(), unblob(h["value"])
        args += ["-H", name if content is None else name + b"=" + content]
    if not value:
        # Empty files are skipped. A line may end after the key.
        if value is None:
            args.append("-Z")
        args += ["-K", KEY.decode(), "-D", RECORD.decode()]
        _, said = kcat(broker, *args, stdin=(key or b"") + KEY + RECORD)
        return delivered(said, 1)
    with tempfile.NamedTemporaryFile() as f:
        f.write(value or b"")
        f.flush()
        _, said = kcat(broker, *args, f.name)
    return delivered(said, 1)


def produce(broker, params):
    runs = []
    for run in params["runs"]:
        args = ["-P", "-t", run["topic"], "-z", run["codec"], "-vvv"]
        args += ["-X", "message.max.bytes=2000000"]
        args += ["-X", f"enable.idempotence={str(run['idempotent']).lower()}"]
        acks, lines = [], []
        for r in run["records"]:
            if lines and (not simple(r) or lines[0]["partition"] != r["partition"]):
                acks += produce_lines(broker, args, lines)
                lines = []
            if simple(r):
                lines.append(r)
            else:
                acks += produce_one(broker, args, r)
        if lines:
            acks += produce_lines(broker, args, lines)
        runs.append(acks)
    return {"runs": runs}


# Lengths first, so that keys and values may have any bytes.
FORMAT = "%p %o %T %K %S %k%s%h\\n"


def parse(topic, data):
    records = []
    at = 0

    def upto(mark):
        nonlocal at
        end = data.index(mark, at)
        part = data[at:end]
        at = end + 1
        return part

    def take(length):
        nonlocal at
        if length < 0:
            return None
        at += length
        return data[at - length : at]

    while at < len(data):
        partition, offset, timestamp, key, value = (int(upto(b" ")) for _ in range(5))
        key, value = take(key), take(value)
        headers = []
        # Names and values that the tests use have no comma and no line end.
        for pair in filter(None, upto(b"\n").split(b",")):
            name, _, content = pair.partition(b"=")
            headers.append({"name": name.decode(), "value": None if content == b"NULL" else blob(content)})
        records.append(
            {
                "topic": topic,
                "partition": partition,
                "offset": offset,
                "timestamp": timestamp,
                "key": blob(key),
                "value": blob(value),
                "headers": headers,
            }
        )
    return records


REACHED = re.compile(r"Reached end of topic (\S+) \[(\d+)\] at offset (\d+)")


def consume(broker, params):
    # One process reads all partitions of a topic that start alike.
    alike = {}
    for r in params["reads"]:
        start = f"s@{r['timestamp']}" if r["timestamp"] else str(r["offset"])
        alike.setdefault((r["topic"], start), set()).add(r["partition"])
    level = "read_committed" if params["committed"] else "read_uncommitted"
    records, ends = [], []
    for (topic, start), partitions in alike.items():
        out, said = kcat(broker, "-C", "-e", "-t", topic, "-o", start, "-f", FORMAT, "-X", f"isolation.level={level}")
        records += [r for r in parse(topic, out) if r["partition"] in partitions]
        for m in REACHED.finditer(said):
            if int(m[2]) in partitions:
                ends.append({"topic": topic, "partition": int(m[2]), "position": int(m[3]), "lag": None})
    return {"records": records, "ends": ends}


def live(broker, *args, **more):
    # Without -E it ends as soon as no broker is there.
    command = ["kcat", "-E", "-b", broker, "-X", "retry.backoff.ms=50", "-X", "reconnect.backoff.ms=20"]
    command += ["-X", "reconnect.backoff.max.ms=200", *args]
    return subprocess.Popen(command, **more)


def restart(broker, params):
    with tempfile.TemporaryFile() as said:
        args = ["-P", "-t", params["topic"], "-p", "0", "-vvv", "-X", "enable.idempotence=true"]
        with live(broker, *args, "-X", "linger.ms=1", stdin=subprocess.PIPE, stderr=said) as child:
            n = 0
            while not os.path.exists(params["until"]) and child.poll() is None:
                child.stdin.write(b"%d\n" % n)
                child.stdin.flush()
                n += 1
                time.sleep(0.01)
            child.stdin.close()
            code = child.wait(PATIENCE)
        said.seek(0)
        text = said.read().decode(errors="replace")
        if code != 0:
            fail(f"exit {code}: {text[-2000:]}")
        return {"runs": [delivered(text, n)]}


def follow(broker, params):
    last = unblob(params["last"])
    args = ["-C", "-q", "-u", "-t", params["topic"], "-p", "0", "-o", "0", "-f", FORMAT]
    with live(broker, *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        data = b""
        for line in child.stdout:
            data += line
            # The only value of several digits and letters that the tests send.
            if last in line:
                break
        else:
            fail(f"ended before the last record: {child.stderr.read()[-2000:]}")
        child.terminate()
        child.communicate()
    return {"records": parse(params["topic"], data)}


REBALANCED = re.compile(r"rebalanced \(memberid [^)]*\): (assigned|revoked): ?(.*)")


def member(broker, params):
    """kcat commits by itself, and does not tell."""
    strategy = f"partition.assignment.strategy={params['strategy']}"
    command = ["kcat", "-E", "-u", "-b", broker, "-f", FORMAT, "-X", "auto.offset.reset=earliest", "-X", strategy]
    command += ["-X", "auto.commit.interval.ms=200"]
    if params["instance"]:
        command += ["-X", f"group.instance.id={params['instance']}"]
    command += ["-G", params["group"], params["topic"]]
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as said:
        with subprocess.Popen(command, stdout=printed, stderr=said) as child:
            deadline = time.monotonic() + 2 * PATIENCE
            while not os.path.exists(params["until"]) and child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            child.terminate()
            code = child.wait(PATIENCE)
        printed.seek(0)
        said.seek(0)
        text = said.read().decode(errors="replace")
        if code != 0 or time.monotonic() > deadline:
            fail(f"exit {code}: {text[-2000:]}")
        events = [{"record": r} for r in parse(params["topic"], printed.read())]
    for m in REBALANCED.finditer(text):
        events.append({m[1]: [int(p) for p in re.findall(r"\[(\d+)\]", m[2])]})
    return {"events": events}


def admin(broker, params):
    """kcat administers nothing: the topic is made by the first record, and
    listed and searched as far as there are options for it."""
    topic = params["topic"]
    value = base64.b64encode(b"x").decode()
    records = [{"partition": 0, "key": None, "value": value, "headers": []} for _ in range(10)]
    run = {"topic": topic, "codec": "none", "idempotent": True, "records": records}
    produce(broker, {"runs": [run]})
    listing = json.loads(kcat(broker, "-L", "-J")[0])
    found = {t["topic"]: t for t in listing["topics"]}

    def offset(when):
        out = kcat(broker, "-Q", "-t", f"{topic}:0:{when}")[0].decode()
        return int(out.rsplit(" ", 1)[1])

    return {
        "listed": topic in found,
        "latest": offset(-1),
        "by_time": offset(1_700_000_006_000),
    }


def main():
    if len(sys.argv) != 4:
        fail("usage: client.py BROKER SCENARIO FILE")
    scenarios = {
        "produce": produce,
        "consume": consume,
        "admin": admin,
        "restart": restart,
        "follow": follow,
        "member": member,
    }
    if sys.argv[2] not in scenarios:
        fail(f"no scenario {sys.argv[2]!r}")
    with open(sys.argv[3], encoding="utf-8") as f:
        params = json.load(f)
    print(json.dumps(scenarios[sys.argv[2]](sys.argv[1], params)))


if __name__ == "__main__":
    main()
