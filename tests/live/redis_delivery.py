#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Delivery to Redis against real servers: every way to connect, every way to fail.

After each test the ids in the stream are compared with the outbox's own
journal (its segment files, which --keep leaves): none missing, none foreign,
and in the order of raising once repeats are dropped.

    redis_delivery.py --load build/release/tests/alert_load --stripwatch build/release/stripwatch [NAME ...]
"""
import argparse
import glob
import json
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from redis_fake import FakeRedis  # noqa: E402
from redis_lab import Client, Cutter, Lab, RedisError, Server, free_port  # noqa: E402

STREAM = "stripwatch:alerts"
ALWAYS = ("appendonly yes", "appendfsync always")


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


class Sensor:
    """alert_load with an outbox of its own."""

    def __init__(self, lab, url, name="box", **options):
        self.lab, self.url, self.name, self.options = lab, url, name, options
        self.box = lab.path(name)
        self.runs = 0

    def command(self, **more):
        self.runs += 1
        options = {"redis": self.url, "outbox": self.box, "run": self.runs, "sensor": self.name,
                   **self.options, **more}
        words = [ARGS.load, "--keep"]
        for key, value in options.items():
            words.append("--" + key.replace("_", "-"))
            if value is not True:
                words.append(str(value))
        return words

    def start(self, **more):
        return subprocess.Popen(self.command(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, expect=0, **more):
        done = subprocess.run(self.command(**more), capture_output=True, text=True, timeout=300)
        check(expect is None or done.returncode == expect, f"exit {done.returncode}: {done.stderr[-400:]}")
        return json.loads(done.stdout) if done.stdout else {}

    def journal(self):
        out = subprocess.run([ARGS.load, "--dump", self.box], capture_output=True, text=True, check=True).stdout
        rows = sorted((int(r[0]), r[2]) for r in (line.split() for line in out.splitlines()))
        check(len(rows) == len(set(r[0] for r in rows)), "a sequence was given out twice")
        return [id for _, id in rows]


def stream_ids(client, key=STREAM, sensor=None):
    ids, start = [], "-"
    while True:
        page = client("XRANGE", key, start, "+", "COUNT", 5000)
        if not page:
            return ids
        for _, fields in page:
            pairs = dict(zip(fields[::2], fields[1::2]))
            if sensor is None or pairs["sensor"] == sensor:
                ids.append(pairs["id"])
        start = "(" + page[-1][0]


def compare(client, sensor, mine_alone=True):
    journal, stream = sensor.journal(), stream_ids(client, sensor=None if mine_alone else sensor.name)
    distinct = list(dict.fromkeys(stream))
    missing, foreign = set(journal) - set(distinct), set(distinct) - set(journal)
    check(not missing, f"{len(missing)} of {len(journal)} alerts are missing, first {sorted(missing)[:2]}")
    check(not foreign, f"{len(foreign)} alerts in the stream are not in the journal")
    check(distinct == journal, "the order of raising is broken")
    check(len(journal) == len(set(journal)), "an id was raised twice")
    return f"{len(journal)} alerts, {len(stream) - len(distinct)} repeats"


# ---- every way to connect ----

def plain(lab):
    server = lab.server("r", *ALWAYS)
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}/3")
    sensor.run(count=5000, mixed=True, publish=True, sessions=10)
    client = server.client()
    client("SELECT", 3)
    check(client("XLEN", "stripwatch:sessions") == 500, "session records")
    check(0 < client("TTL", "stripwatch:sensor:box") <= 3, "the heartbeat does not expire")
    return compare(client, sensor)


def acl_and_password(lab):
    server = lab.server("r", "user default off", "user soc on >s3cr3t:@/ ~stripwatch:* -@all "
                        "+xadd +xtrim +hset +expire +multi +exec +discard")
    password = lab.path("password")
    with open(password, "w") as f:
        f.write("s3cr3t:@/\n")
    sensor = Sensor(lab, f"redis://soc:s3cr3t%3A%40%2F@127.0.0.1:{server.port}")
    process = sensor.start(count=0, rate=1000)
    time.sleep(0.5)
    shown = open(f"/proc/{process.pid}/cmdline", "rb").read() + open(f"/proc/{process.pid}/environ", "rb").read()
    check(b"s3cr3t" not in shown, "the password is in the process list")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    check("s3cr3t" not in out + err, "the password was printed")
    sensor.url = f"redis://soc@127.0.0.1:{server.port}"
    sensor.run(count=500, password_file=password)
    client = server.client()
    server_admin = Client(server.port)
    client.close()
    server_admin.close()
    # default is off: look at the data as a second user would be needed, so count what was acknowledged.
    return f"{len(sensor.journal())} alerts as an ACL user with seven commands"


def unix_socket(lab):
    path = lab.path("redis.sock")
    server = lab.server("r", f"unixsocket {path}")
    sensor = Sensor(lab, f"unix://{path}?db=2")
    sensor.run(count=2000)
    client = Client(path=path)
    client("SELECT", 2)
    return compare(client, sensor)


def tls(lab):
    d = lab.certificates()
    port = free_port()
    server = lab.server("r", f"tls-port {port}", f"tls-cert-file {d}/server.pem", f"tls-key-file {d}/server.key",
                        f"tls-ca-cert-file {d}/ca.pem", "tls-auth-clients yes")
    good = {"ca_file": f"{d}/ca.pem", "cert": f"{d}/client.pem", "key": f"{d}/client.key",
            "server_name": "redis.example"}
    sensor = Sensor(lab, f"rediss://127.0.0.1:{port}")
    for name, options in (("another name", {**good, "server_name": "other.example"}),
                          ("the address is not in the certificate", {**good, "server_name": "127.0.0.1"}),
                          ("no client certificate", {k: v for k, v in good.items() if k not in ("cert", "key")}),
                          ("another CA", {**good, "ca_file": "/etc/ssl/certs/ca-certificates.crt"})):
        if os.path.exists(options["ca_file"]):
            check(sensor.run(expect=1, count=10, drain_ms=300, **options)["delivered"] == 0, name)
    sensor.run(count=5000, **good)
    return compare(server.client(), sensor)


# ---- every way to fail ----

def wrong_password(lab):
    server = lab.server("r", "requirepass right", *ALWAYS)
    sensor = Sensor(lab, f"redis://:wrong@127.0.0.1:{server.port}")
    stats = sensor.run(expect=1, count=300, drain_ms=1000)
    check(stats["state"] == 3 and stats["left"] == 300 and stats["dead"] == 0, f"{stats}")
    sensor.url = f"redis://:right@127.0.0.1:{server.port}"
    sensor.run(count=300)
    client = server.client()
    client("AUTH", "right")
    return compare(client, sensor)


def out_of_memory(lab):
    server = lab.server("r", *ALWAYS, "maxmemory-policy noeviction")
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}")
    process = sensor.start(count=20000, rate=10000, mixed=True)
    turns = 0
    for _ in range(6):
        used = int(server.call("INFO", "memory").split("used_memory:")[1].split()[0])
        server.call("CONFIG", "SET", "maxmemory", used + 100000)
        time.sleep(0.3)
        server.call("CONFIG", "SET", "maxmemory", 0)
        time.sleep(0.1)
        turns += 1
    stats = json.loads(process.communicate(timeout=60)[0])
    check(stats["failures"] > 0, "memory never ran out")
    return f"{turns} times full, {compare(server.client(), sensor)}"


def read_only(lab):
    master = lab.server("m", *ALWAYS)
    server = lab.server("r", *ALWAYS, f"replicaof 127.0.0.1 {master.port}")
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}")
    process = sensor.start(count=3000, rate=3000)
    time.sleep(1)
    check(server.call("EXISTS", STREAM) == 0, "a replica took a write")
    server.call("REPLICAOF", "NO", "ONE")
    stats = json.loads(process.communicate(timeout=60)[0])
    check(stats["failures"] > 0, "was never read-only")
    return compare(server.client(), sensor)


def loading(lab):
    server = lab.server("r", "appendonly yes", "key-load-delay 5000", "loading-process-events-interval-bytes 1024")
    client = server.client()
    for i in range(400):
        client("SET", f"k{i}", "x" * 3000)
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}")
    process = sensor.start(count=4000, rate=2000)
    time.sleep(0.5)
    server.kill()
    server.start(wait=False)
    seen = False
    for _ in range(300):
        try:
            server.call("XLEN", STREAM)
            break
        except RedisError as e:
            seen = seen or str(e).startswith("LOADING")
        except OSError:
            pass
        time.sleep(0.02)
    process.communicate(timeout=60)
    check(seen, "was never loading")
    # everysec: what was acknowledged in the last second may be gone; nothing foreign, nothing twice.
    journal, stream = sensor.journal(), set(stream_ids(server.client()))
    check(stream <= set(journal) and sensor.run(count=1)["left"] == 0, "delivery did not go on")
    return f"{len(journal)} alerts, {len(set(journal) - stream)} lost by appendfsync everysec"


def cut_mid_reply(lab):
    server = lab.server("r", *ALWAYS)
    cutter = Cutter(server.port, 1, 20000)
    sensor = Sensor(lab, f"redis://127.0.0.1:{cutter.port}", batch=64)
    process = sensor.start(count=20000, rate=5000, mixed=True, publish=True)
    while process.poll() is None and cutter.cuts < 60:
        time.sleep(0.05)
    cutter.healthy = True
    process.communicate(timeout=60)
    return f"{cutter.cuts} cuts, {compare(server.client(), sensor)}"


def worst_server(lab):
    """A server that fails batches by the dice: none may be lost, none may overtake."""
    texts, sums = [], {}
    for seed, trouble in ((1, 0.1), (2, 0.3)):
        server = FakeRedis(seed, trouble)
        sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}", name=f"box{seed}", batch=16)
        sensor.run(count=2000, mixed=True, put_wait_ms=10000, drain_ms=120000, pause_ms=1)
        journal, stream = sensor.journal(), server.streams[STREAM]
        distinct = list(dict.fromkeys(stream))
        check(distinct == journal, f"seed {seed}: {len(journal)} raised, {len(distinct)} arrived, or out of order")
        counts = server.counts
        sums = {name: sums.get(name, 0) + count for name, count in counts.items()}
        texts.append(f"{sum(counts.values()) - counts['discard']} failures, {counts['discard']} batches taken back, "
                     f"{len(stream) - len(distinct)} repeats")
    check(min(sums.values()) > 0, f"not every trouble came up: {sums}")
    return "; ".join(texts)


def redis_killed(lab):
    server = lab.server("r", *ALWAYS)
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}")
    process = sensor.start(count=0, rate=5000, mixed=True, drain_ms=60000)
    kills, until = 0, time.monotonic() + ARGS.seconds
    while time.monotonic() < until:
        time.sleep(random.uniform(0.05, 0.6))
        server.kill()
        kills += 1
        time.sleep(random.uniform(0, 0.2))
        server.start()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    sensor.run(count=1, drain_ms=60000)
    return f"{kills} kills of Redis, {compare(server.client(), sensor)}"


def sensor_killed(lab):
    server = lab.server("r", *ALWAYS)
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}", segment_bytes=100000)
    kills, until = 0, time.monotonic() + ARGS.seconds
    while time.monotonic() < until:
        process = sensor.start(count=0, rate=8000, mixed=True)
        time.sleep(random.uniform(0.02, 0.5))
        process.kill()
        process.communicate()
        kills += 1
    sensor.run(count=1, drain_ms=60000)
    return f"{kills} kills of the sensor, {compare(server.client(), sensor)}"


def both_killed(lab):
    server = lab.server("r", *ALWAYS)
    cutter = Cutter(server.port, 1000, 200000)
    sensor = Sensor(lab, f"redis://127.0.0.1:{cutter.port}", segment_bytes=100000)
    kills = [0, 0]
    until = time.monotonic() + ARGS.seconds
    process = sensor.start(count=0, rate=5000, mixed=True)
    while time.monotonic() < until:
        time.sleep(random.uniform(0.05, 0.4))
        if random.random() < 0.5:
            server.kill()
            server.start()
            kills[0] += 1
        else:
            process.kill()
            process.communicate()
            process = sensor.start(count=0, rate=5000, mixed=True)
            kills[1] += 1
    process.kill()
    process.communicate()
    cutter.healthy = True
    sensor.run(count=1, drain_ms=60000)
    return f"{kills[0]} kills of Redis, {kills[1]} of the sensor, {cutter.cuts} cuts, " \
           f"{compare(server.client(), sensor)}"


def what_settings_lose(lab):
    """Not a promise but a measurement: acknowledged alerts that a SIGKILL of Redis took away."""
    texts = []
    for i, (name, settings) in enumerate((("no persistence", ("appendonly no",)),
                                          ("appendfsync everysec", ("appendonly yes", "appendfsync everysec")),
                                          ("appendfsync always", ALWAYS))):
        server = lab.server(f"r{i}", *settings)
        sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}", name=f"box{i}")
        process = sensor.start(count=0, rate=5000)
        time.sleep(2)
        server.kill()
        server.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        sensor.run(count=1)
        journal = sensor.journal()
        lost = len(set(journal) - set(stream_ids(server.client())))
        check(lost == 0 or name != "appendfsync always", f"{lost} lost with appendfsync always")
        texts.append(f"{name}: {lost} of {len(journal)} lost")
    return "; ".join(texts)


def stopped_and_started(lab):
    server = lab.server("r", *ALWAYS)
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}")
    server.kill()
    process = sensor.start(count=100000, put_wait_ms=10000, drain_ms=120000, mixed=True)
    time.sleep(3)
    server.start()
    stats = json.loads(process.communicate(timeout=200)[0])
    check(stats["left"] == 0 and not any(stats["dropped"]), f"{stats}")
    return f"down for 3 s, {compare(server.client(), sensor)}"


def two_sensors(lab):
    server = lab.server("r", *ALWAYS)
    sensors = [Sensor(lab, f"redis://127.0.0.1:{server.port}", name=n) for n in ("a", "b")]
    sensors[1].runs = 1000
    for process in [s.start(count=5000, rate=5000) for s in sensors]:
        process.communicate(timeout=60)
    return "; ".join(compare(server.client(), s, mine_alone=False) for s in sensors)


# ---- what must not happen, and does ----

def wrong_type(lab):
    """Somebody put a string where the stream belongs: alerts wait, and go when it is away."""
    server = lab.server("r", *ALWAYS)
    server.call("SET", STREAM, "no stream")
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}", pause_ms=20)
    process = sensor.start(count=500, drain_ms=20000)
    time.sleep(1)
    check(server.call("GET", STREAM) == "no stream", "the key was overwritten")
    server.call("DEL", STREAM)
    out, err = process.communicate(timeout=40)
    stats = json.loads(out)
    check(stats["dead"] == 0, f"{stats['dead']} dead letters")
    check(err.count("WRONGTYPE") == 1, f"said {err.count('WRONGTYPE')} times: {err[:300]}")
    return compare(server.client(), sensor)


def no_permission(lab):
    """A user who may not XADD: said once, nothing lost, nothing in the dead letters."""
    server = lab.server("r", *ALWAYS, "user soc on nopass ~* -@all +multi +exec +select")
    sensor = Sensor(lab, f"redis://soc@127.0.0.1:{server.port}", pause_ms=20)
    password = lab.path("password")
    with open(password, "w") as f:
        f.write("anything\n")
    process = sensor.start(count=300, drain_ms=20000, password_file=password)
    time.sleep(1)
    server.call("ACL", "SETUSER", "soc", "+xadd", "+xtrim")
    out, err = process.communicate(timeout=40)
    stats = json.loads(out)
    check(stats["dead"] == 0 and "NOPERM" in err and err.count("NOPERM") == 1, f"{stats['dead']} dead; said: {err[:300]}")
    return compare(server.client(), sensor)


def stream_is_trimmed(lab):
    """At its cap the stream loses the oldest, and only those."""
    server = lab.server("r", *ALWAYS)
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}", maxlen=1000)
    sensor.run(count=5000)
    stream, journal = stream_ids(server.client()), sensor.journal()
    check(1000 <= len(stream) <= 1200 and stream == journal[-len(stream):], f"{len(stream)} entries")
    return f"{len(stream)} of {len(journal)} alerts are left, the newest"


def may_not_trim(lab):
    """A user who may not XTRIM: said once, and every alert arrives."""
    server = lab.server("r", *ALWAYS, "user soc on nopass ~* -@all +multi +exec +select +xadd")
    sensor = Sensor(lab, f"redis://soc:any@127.0.0.1:{server.port}")
    process = sensor.start(count=1000, rate=2000)
    err = process.communicate(timeout=30)[1]
    check(err.count("is not trimmed: NOPERM") == 1, f"said: {err[:300]}")
    return compare(server.client(), sensor)


def torn_transaction(lab):
    """
    Redis 7.0 leaves what was torn in a MULTI in its append-only file; at the load after the
    next, it comes back among entries that came later. It must not cost the oldest.
    """
    server = lab.server("r", *ALWAYS)
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}")
    sensor.run(count=500)
    last = server.call("XREVRANGE", STREAM, "+", "-", "COUNT", 1)[0][0]
    server.kill()

    def command(*words):
        return f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)

    torn = command("MULTI")
    for i, name in enumerate(sensor.journal()[-20:]):
        torn += command("XADD", STREAM, f"{last.split('-')[0]}-{1000 + i}", "id", name, "sensor", "box")
    with open(glob.glob(os.path.join(server.directory, "appendonlydir", "*.incr.aof"))[0], "a") as file:
        file.write(torn[:-10])
    server.start()
    sensor.run(count=500)
    server.kill()
    server.start()
    torn_entries = [e for e in server.call("XRANGE", STREAM, "-", "+") if len(e[1]) == 4]
    text = compare(server.client(), sensor)
    return f"{len(torn_entries)} torn entries came back, {text}"


def flushed(lab):
    """FLUSHALL takes what was there; what comes later arrives, in order, with a heartbeat."""
    server = lab.server("r", *ALWAYS)
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}")
    process = sensor.start(count=4000, rate=2000)
    time.sleep(1)
    server.call("FLUSHALL")
    process.communicate(timeout=40)
    stream, journal = list(dict.fromkeys(stream_ids(server.client()))), sensor.journal()
    check(0 < len(stream) < len(journal) and stream == journal[-len(stream):], "not the alerts behind FLUSHALL")
    check(server.call("EXISTS", "stripwatch:sensor:box") == 1, "no heartbeat")
    return f"{len(stream)} of {len(journal)} came after it"


def expired_certificate(lab):
    d = lab.certificates()
    with open(os.path.join(d, "ext"), "w") as f:
        f.write("subjectAltName=DNS:redis.example\n")
    # Signed anew: over since a day.
    subprocess.run(["openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                    "-out", "server.pem", "-days", "-1", "-extfile", "ext"], cwd=d, check=True, capture_output=True)
    port = free_port()
    lab.server("r", f"tls-port {port}", f"tls-cert-file {d}/server.pem", f"tls-key-file {d}/server.key",
               f"tls-ca-cert-file {d}/ca.pem", "tls-auth-clients no")
    sensor = Sensor(lab, f"rediss://127.0.0.1:{port}")
    done = subprocess.run(sensor.command(count=10, drain_ms=500, ca_file=f"{d}/ca.pem", server_name="redis.example"),
                          capture_output=True, text=True, timeout=60)
    check(json.loads(done.stdout)["delivered"] == 0, "it was accepted")
    check("expired" in done.stderr, f"said: {done.stderr[:300]}")
    return "refused: " + done.stderr.split("TLS: ")[1].split(";")[0]


def lying_sentinel(lab):
    """Sentinels that name a replica: it is asked, and not written to; the true master is found later."""
    master = lab.server("m", *ALWAYS)
    replica = lab.server("r", *ALWAYS, f"replicaof 127.0.0.1 {master.port}")
    liar = FakeRedis(1, 0)
    liar.master = replica.port
    sensor = Sensor(lab, f"redis-sentinel://127.0.0.1:{liar.port}/soc", pause_ms=20)
    process = sensor.start(count=200, drain_ms=20000)
    time.sleep(1)
    check(master.call("EXISTS", STREAM) == 0, "alerts went through a replica")
    liar.master = master.port
    out, err = process.communicate(timeout=40)
    check("not a master" in err, f"said: {err[:300]}")
    return compare(master.client(), sensor)


def disk_full(lab):
    """A file system that is full while segments are begun: alerts go from memory, none is lost."""
    if os.geteuid() != 0:
        return "skipped: needs root"
    server = lab.server("r", *ALWAYS)
    where = lab.path("small")
    os.makedirs(where)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", where], check=True)
    try:
        sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}", segment_bytes=20000)
        sensor.box = os.path.join(where, "box")
        ballast = os.path.join(where, "ballast")
        server.kill()
        process = sensor.start(count=4000, rate=4000, mixed=True, drain_ms=60000)
        for _ in range(6):  # full and not full, while Redis is away
            with open(ballast, "wb") as f:
                try:
                    f.write(b"x" * 262144)
                except OSError:
                    pass
            time.sleep(0.1)
            try:
                os.unlink(ballast)
            except OSError:
                pass
            time.sleep(0.1)
        server.start()
        out, err = process.communicate(timeout=90)
        stats = json.loads(out)
        ids = list(dict.fromkeys(stream_ids(server.client())))
        check(stats["write_errors"] > 0 and "cannot write" in err, f"the disk was never full: {stats}")
        check(len(ids) == 4000 and ids == sorted(ids), f"{len(ids)} of 4000 alerts, or out of order: {stats}")
        return f"{stats['write_errors']} writes refused, {len(ids)} alerts"
    finally:
        subprocess.run(["umount", where], check=False)


def clock_is_set(lab):
    """The host's clock jumps by months while Redis is away: nothing expires, the order stays."""
    library = faketime(lab)
    if library is None:
        return "skipped: libfaketime could not be fetched"
    server = lab.server("r", *ALWAYS)
    server.kill()
    sensor = Sensor(lab, f"redis://127.0.0.1:{server.port}")
    stamp = lab.path("clock")

    def set_clock(text):
        with open(stamp + ".new", "w") as f:
            f.write(text + "\n")
        os.rename(stamp + ".new", stamp)

    set_clock("+0")
    environment = {**os.environ, "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": stamp, "FAKETIME_NO_CACHE": "1",
                   "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    process = subprocess.Popen(sensor.command(count=1000, mixed=True, drain_ms=60000), env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for text in ("+60d", "-60d", "+365d"):
        time.sleep(1.2)  # ages are looked at once a second
        set_clock(text)
    time.sleep(1.2)
    server.start()
    out, err = process.communicate(timeout=90)
    stats = json.loads(out)
    check(not any(stats["dropped"]) and "age" not in err, f"{stats}: {err[:200]}")
    return compare(server.client(), sensor)


def faketime(lab):
    """libfaketime out of Debian's package, or None."""
    root = os.path.join(os.environ.get("STRIPWATCH_LAB", "/var/tmp/stripwatch-lab"), "faketime")
    os.makedirs(root, exist_ok=True)
    pattern = os.path.join(root, "usr/lib/*/faketime/libfaketimeMT.so.1")
    if not glob.glob(pattern):
        if subprocess.run(["apt-get", "download", "libfaketime"], cwd=root, capture_output=True).returncode != 0:
            return None
        for package in glob.glob(os.path.join(root, "*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    return next(iter(glob.glob(pattern)), None)


# ---- many servers ----

def sentinel_failover(lab):
    a = lab.server("a", *ALWAYS)
    b = lab.server("b", *ALWAYS, f"replicaof 127.0.0.1 {a.port}")
    sentinels = [lab.server(f"s{i}", f"sentinel monitor soc 127.0.0.1 {a.port} 2",
                            "sentinel down-after-milliseconds soc 800", "sentinel failover-timeout soc 2000",
                            tail=("--sentinel",)) for i in range(3)]
    time.sleep(3)
    hosts = ",".join(f"127.0.0.1:{s.port}" for s in sentinels)
    sensor = Sensor(lab, f"redis-sentinel://{hosts}/soc", wait=1)
    process = sensor.start(count=0, rate=2000, mixed=True)
    time.sleep(2)
    a.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and b.call("ROLE")[0] != "master":
        time.sleep(0.1)
    check(b.call("ROLE")[0] == "master", "no failover happened")
    a.start()  # comes back, and becomes a replica: WAIT 1 can be met again
    time.sleep(4)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    sensor.run(count=10, drain_ms=30000)
    return f"1 failover, {compare(b.client(), sensor)}"


def cluster(lab):
    nodes = [lab.server(f"n{i}", *ALWAYS, "cluster-enabled yes", "cluster-node-timeout 2000") for i in range(3)]
    subprocess.run(["redis-cli", "--cluster", "create", *(f"127.0.0.1:{n.port}" for n in nodes), "--cluster-yes"],
                   check=True, capture_output=True)
    for n in nodes:
        for _ in range(100):
            if "cluster_state:ok" in n.call("CLUSTER", "INFO"):
                break
            time.sleep(0.1)
    sensor = Sensor(lab, f"redis-cluster://127.0.0.1:{nodes[0].port}")
    process = sensor.start(count=0, rate=2000, mixed=True)
    time.sleep(1)
    # Move the stream's slot, as a reshard does, one step at a time.
    slot = nodes[0].call("CLUSTER", "KEYSLOT", STREAM)
    ids = [n.call("CLUSTER", "MYID") for n in nodes]
    source = next(i for i, n in enumerate(nodes) if n.call("CLUSTER", "COUNTKEYSINSLOT", slot) > 0)
    target = (source + 1) % 3
    nodes[target].call("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    nodes[source].call("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    time.sleep(0.3)
    nodes[source].call("MIGRATE", "127.0.0.1", nodes[target].port, STREAM, 0, 5000)
    time.sleep(1)  # the key is over there, the slot not yet: ASK
    for i in (target, source, 3 - source - target):
        nodes[i].call("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
    time.sleep(1)  # MOVED
    process.send_signal(signal.SIGTERM)
    stats = json.loads(process.communicate(timeout=60)[0])
    sensor.run(count=10)
    check(stats["redirects"] > 1, f"no redirection was followed: {stats}")
    return f"{stats['redirects']} redirections, {compare(nodes[target].client(), sensor)}"


TESTS = [wrong_type, no_permission, stream_is_trimmed, may_not_trim, torn_transaction, flushed, expired_certificate, lying_sentinel, disk_full, clock_is_set,
         plain, acl_and_password, unix_socket, tls, wrong_password, out_of_memory, read_only, loading, cut_mid_reply, worst_server,
         redis_killed, sensor_killed, both_killed, what_settings_lose, stopped_and_started, two_sensors, sentinel_failover, cluster]


def main():
    passed = failed = 0
    for test in TESTS:
        if ARGS.names and test.__name__ not in ARGS.names:
            continue
        started = time.monotonic()
        with Lab() as lab:
            try:
                text = test(lab)
                passed += 1
                print(f"ok   {test.__name__}: {text} ({time.monotonic() - started:.1f} s)", flush=True)
            except Exception as e:  # whatever a test stumbles over is its failure
                failed += 1
                print(f"FAIL {test.__name__}: {type(e).__name__} {e}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


parser = argparse.ArgumentParser()
parser.add_argument("--load", default="build/release/tests/alert_load")
parser.add_argument("--stripwatch", default="build/release/stripwatch")
parser.add_argument("--seconds", type=float, default=15, help="how long each test of kills goes on")
parser.add_argument("names", nargs="*")
ARGS = parser.parse_args()
# tests/run.sh names the program to test; the driver lies in the same build.
if ARGS.names and os.access(ARGS.names[0], os.X_OK):
    ARGS.stripwatch = os.path.realpath(ARGS.names.pop(0))
    ARGS.load = os.path.join(os.path.dirname(ARGS.stripwatch), "tests", "alert_load")
if __name__ == "__main__":
    sys.exit(main())
