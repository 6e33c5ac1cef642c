#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The program in a world that fails it: world.py STRIPWATCH [NAME ...]

  disks     /dev/full, a limit on the size of files, a small file system that fills up (root only)
  reads     files cut short at every place that matters, no permission, a pipe that ends early
  clocks    captures whose time jumps back, far forward, stands before 1970 or runs over
  kills     kill -9 at random moments; what was written is whole, the next run goes on
  storms    signals by the hundred while replay, watch and tail run

Each case has to end by itself with the right status, no signal but the one that was sent, a
message on standard error wherever something is missing, and no sanitizer speaking.
"""
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PCAPS = os.path.join(ROOT, "pcaps")
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from redis_lab import Lab  # noqa: E402

LOUD = os.path.join(PCAPS, "sequences", "stripped-some-clients.pcap")
PLAIN = os.path.join(PCAPS, "refuse-502-swaks.pcap")
SECONDS = 60


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


class World:
    def __init__(self, program, directory):
        self.program, self.directory, self.cases = program, directory, 0
        self.environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=1", TZ="UTC")

    def path(self, name):
        return os.path.join(self.directory, name)

    def fresh(self, name):
        path = self.path(name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path

    def run(self, *arguments, limit=None, stdout=subprocess.PIPE, **options):
        self.cases += 1
        try:
            done = subprocess.run([self.program, *arguments], stdout=stdout, stderr=subprocess.PIPE, timeout=SECONDS,
                                  env=self.environment, **options,
                                  preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
                                  if limit is not None else None)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"{arguments}: hangs") from late
        errors = done.stderr.decode(errors="replace")
        check(done.returncode >= 0, f"{arguments}: ended by signal {-done.returncode}: {errors[-1000:]}")
        check("Sanitizer" not in errors and "runtime error" not in errors, f"{arguments}: {errors[-3000:]}")
        return done.returncode, errors, (done.stdout or b"").decode(errors="replace")

    def expect(self, status, words, *arguments, **options):
        code, errors, out = self.run(*arguments, **options)
        check(code == status, f"{arguments}: exit {code}, not {status}: {errors[-1000:]}")
        for word in words:
            check(word in errors, f"{arguments}: says nothing of {word!r}: {errors[-1000:]!r}")
        return out


def whole_lines(path):
    """The lines of a file; the last may be cut only where a kill or a full disk cut it."""
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    for line in lines[:-1]:
        json.loads(line)
    return len(lines) - 1


def whole_capture(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 24
    while at + 16 <= len(data):
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
    return len(data) > 24 and at == len(data)


def check_baseline(path):
    with sqlite3.connect(f"file:{path}?mode=rw", uri=True) as db:  # as the next run: it rolls back what was half written
        check(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok", f"{path} is damaged")


# ---- disks


def disks(world):
    full = "/dev/full"
    world.expect(1, [full], "replay", "--alerts", full, PLAIN)
    world.expect(1, [full], "replay", "--sessions", full, PLAIN)
    world.expect(1, [full], "replay", "--report", full, PLAIN)
    with open(full, "wb") as out:
        world.expect(1, ["standard output"], "replay", PLAIN, stdout=out)
        world.expect(1, ["standard output"], "replay", "--json", PLAIN, stdout=out)
        world.run("rules", stdout=out)
    place = world.fresh("missing")
    for option in ("--alerts", "--sessions", "--report"):
        world.expect(2, [f"{place}/no/file"], "replay", option, f"{place}/no/file", PLAIN)
    world.expect(2, ["no/folder"], "replay", "--evidence", f"{place}/no/folder", PLAIN)
    world.expect(2, ["no/file"], "replay", "--baseline", f"{place}/no/file", PLAIN)
    # The files grow to a limit; whatever the limit, each output that is short is named.
    reference = world.fresh("reference")
    outputs = ["--sensor", "x", "--alerts", "alerts", "--sessions", "sessions", "--report", "report.html", "--baseline",
               "baseline", "--evidence", "evidence"]
    world.expect(0, [], "replay", *outputs, LOUD, cwd=reference)
    largest = max(os.path.getsize(os.path.join(reference, name)) for name in ("alerts", "sessions", "report.html", "baseline"))
    for limit in [0, 1, 100, 4096, 8192, 20000, largest - 1]:
        place = world.fresh("limited")
        # SIGXFSZ would end the program before it can say anything.
        code, errors, _ = world.run("replay", *outputs, LOUD, cwd=place, limit=limit)
        check(code in (1, 2) and errors, f"limit {limit}: exit {code}: {errors}")
        for name in ("alerts", "sessions", "report.html"):
            path = os.path.join(place, name)
            if os.path.exists(path) and os.path.getsize(path) < os.path.getsize(os.path.join(reference, name)):
                check(name in errors or code == 2, f"limit {limit}: {name} is short, and nothing is said: {errors}")
            if os.path.exists(path) and name != "report.html":
                whole_lines(path)
        evidence = os.path.join(place, "evidence")
        for name in os.listdir(evidence) if os.path.isdir(evidence) else []:
            check(whole_capture(os.path.join(evidence, name)), f"limit {limit}: evidence/{name} is not whole")
    if os.getuid() != 0:
        return
    # A file system of its own that fills up.
    mount = world.fresh("small")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", mount]).returncode != 0:
        print("disks: no file system may be mounted here, that part is skipped")
        return
    try:
        for room in (0, 4096, 16384, 32768):
            with open(os.path.join(mount, "ballast"), "wb") as ballast:
                ballast.write(b"x" * (64 * 1024 - room))
            code, errors, _ = world.run("replay", *outputs, LOUD, cwd=mount)
            check(code in (1, 2) and errors, f"{room} bytes left: exit {code}: {errors}")
            for name in os.listdir(mount):
                path = os.path.join(mount, name)
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        # The outbox: an alert that found no room is told, and Redis gets it all the same.
        with Lab() as lab:
            server = lab.server("redis")
            with open(os.path.join(mount, "ballast"), "wb") as ballast:
                ballast.write(b"x" * 64 * 1024)
            code, errors, _ = world.run("replay", "--sensor", "x", "--redis", f"redis://127.0.0.1:{server.port}",
                                        "--outbox", os.path.join(mount, "outbox"), LOUD)
            check(code in (0, 1, 2) and "No space left" in errors, f"outbox on a full disk: exit {code}: {errors}")
            check(code != 0 or server.call("XLEN", "stripwatch:alerts") > 0, "outbox on a full disk: an alert is lost")
            os.unlink(os.path.join(mount, "ballast"))
            world.expect(0, [], "replay", "--sensor", "x", "--redis", f"redis://127.0.0.1:{server.port}", "--outbox",
                         os.path.join(mount, "outbox"), PLAIN)
    finally:
        subprocess.run(["umount", mount], check=True)


# ---- reads


def reads(world):
    place = world.fresh("reads")
    with open(PLAIN, "rb") as file:
        data = file.read()
    cut = os.path.join(place, "cut.pcap")
    first = struct.unpack_from("<I", data, 32)[0]
    for length in (0, 1, 4, 23, 24, 25, 39, 40, 41, 40 + first - 1, 40 + first + 1, len(data) // 2, len(data) - 1):
        with open(cut, "wb") as out:
            out.write(data[:length])
        code, errors, _ = world.run("replay", cut)
        whole = length == 24
        check((code == 0) == whole and (whole or cut in errors), f"cut at {length}: exit {code}: {errors}")
    for packed, tool in (("cut.pcap.gz", ["gzip", "-c"]), ("cut.pcap.zst", ["zstd", "-qc"])):
        path = os.path.join(place, packed)
        image = subprocess.run([*tool, PLAIN], capture_output=True, check=True).stdout
        for length in (3, 10, len(image) // 2, len(image) - 1):
            with open(path, "wb") as out:
                out.write(image[:length])
            world.expect(1, [path], "replay", path)
    # A file that shrinks while it is read, from a state in which reading has begun.
    big = os.path.join(place, "big.pcap")
    for _ in range(5):
        with open(big, "wb") as out:
            out.write(data + data[24:] * 3000)
        process = subprocess.Popen([world.program, "replay", "--quiet", big], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, env=world.environment)
        time.sleep(random.random() * 0.2)
        os.truncate(big, 30)
        _, errors = process.communicate(timeout=SECONDS)
        world.cases += 1
        check(process.returncode in (0, 1), f"shrinking file: exit {process.returncode}: {errors[-1000:]}")
    # A pipe whose writer goes away, and one that never says anything.
    code, errors, _ = world.run("replay", "-", input=data[:200])
    check(code == 1 and errors, f"short pipe: exit {code}")
    code, errors, _ = world.run("replay", "-", stdin=subprocess.DEVNULL)
    check(code == 1 and errors, f"empty pipe: exit {code}")
    world.expect(1, ["no-such-file"], "replay", os.path.join(place, "no-such-file"))
    world.expect(1, ["/proc/self/mem"], "replay", "/proc/self/mem")
    loop = os.path.join(place, "loop")
    os.symlink("loop", loop)
    world.expect(1, [loop], "replay", loop)
    world.expect(1, [loop], "replay", "--separate", loop)
    if os.getuid() == 0 and shutil.which("setpriv"):
        closed = os.path.join(place, "closed")
        os.mkdir(closed, 0o000)
        os.chmod(place, 0o755)
        os.chmod(world.directory, 0o755)
        done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", world.program,
                               "replay", closed], capture_output=True, text=True, timeout=SECONDS, cwd="/")
        world.cases += 1
        check(done.returncode in (1, 126, 127) and done.stderr, f"unreadable directory: exit {done.returncode}: {done.stderr}")


# ---- clocks


def shifted(data, shift, nanoseconds=False):
    """A pcap whose packet times are what shift(index, seconds, fraction) gives."""
    out, at, index = bytearray(data[:24]), 24, 0
    if nanoseconds:
        struct.pack_into("<I", out, 0, 0xA1B23C4D)
    while at + 16 <= len(data):
        seconds, fraction, captured, length = struct.unpack_from("<IIII", data, at)
        seconds, fraction = shift(index, seconds, fraction)
        out += struct.pack("<IIII", seconds & 0xFFFFFFFF, fraction & 0xFFFFFFFF, captured, length)
        out += data[at + 16 : at + 16 + captured]
        at += 16 + captured
        index += 1
    return bytes(out)


def pcapng(data, stamp, resolution):
    """The same packets as pcapng, their 64-bit times given by stamp(index)."""
    link = struct.unpack_from("<I", data, 20)[0]

    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(1, struct.pack("<HHI", link, 0, 0) + struct.pack("<HHB3x", 9, 1, resolution) + bytes(4))
    at, index = 24, 0
    while at + 16 <= len(data):
        captured, length = struct.unpack_from("<II", data, at + 8)
        time64 = stamp(index) & (1 << 64) - 1
        out += block(6, struct.pack("<IIIII", 0, time64 >> 32, time64 & 0xFFFFFFFF, captured, length)
                     + data[at + 16 : at + 16 + captured])
        at += 16 + captured
        index += 1
    return out


def clocks(world):
    place = world.fresh("clocks")
    path = os.path.join(place, "clock.pcap")
    with open(PLAIN, "rb") as file:
        data = file.read()
    year = 365 * 86400
    variants = {
        "zero": shifted(data, lambda i, s, f: (0, 0)),
        "back an hour in the middle": shifted(data, lambda i, s, f: (s - 3600 * (i > 12), f)),
        "back to 1970": shifted(data, lambda i, s, f: (s if i < 12 else i, f)),
        "forward ten years": shifted(data, lambda i, s, f: (s + 10 * year * (i > 12), f)),
        "forward and back": shifted(data, lambda i, s, f: (s + (year if i % 2 else -year), f)),
        "the last second": shifted(data, lambda i, s, f: (0xFFFFFFFF, f)),
        "a fraction above a second": shifted(data, lambda i, s, f: (s, 0xFFFFFFFF)),
        "nanoseconds above a second": shifted(data, lambda i, s, f: (s, 0xFFFFFFFF), nanoseconds=True),
        "every packet another second, reversed": shifted(data, lambda i, s, f: (s + 1000 - i, f)),
    }
    for name, exponent in (("seconds", 0), ("microseconds", 6), ("nanoseconds", 9), ("picoseconds", 12), ("10^-127", 127),
                           ("halves", 0x81), ("2^-63", 0xBF), ("2^-127", 0xFF)):
        variants[f"pcapng, {name}, the largest"] = pcapng(data, lambda i: (1 << 64) - 1 - i, exponent)
        variants[f"pcapng, {name}, around the sign"] = pcapng(data, lambda i: (1 << 63) - 10 + i, exponent)
        variants[f"pcapng, {name}, zero"] = pcapng(data, lambda i: 0, exponent)
    for name, image in variants.items():
        with open(path, "wb") as out:
            out.write(image)
        again = []
        for _ in range(2):
            code, errors, out = world.run("replay", "--sensor", "x", "--json", "--baseline", os.path.join(place, "baseline"),
                                          "--baseline-readonly", path) if os.path.exists(os.path.join(place, "baseline")) \
                else world.run("replay", "--sensor", "x", "--json", path)
            check(code in (0, 1), f"{name}: exit {code}: {errors}")
            for line in out.splitlines():
                json.loads(line)
            again.append(out)
        check(again[0] == again[1], f"{name}: two runs differ")
        code, errors, _ = world.run("replay", "--quiet", "--report", os.path.join(place, "r.html"), "--evidence",
                                    os.path.join(place, "e"), path)
        check(code in (0, 1), f"{name}: exit {code}: {errors}")


# ---- kills


def kills(world):
    place = world.fresh("kills")
    outputs = ["--sensor", "x", "--alerts", "alerts", "--sessions", "sessions", "--baseline", "baseline", "--evidence",
               "evidence", "--report", "report.html"]
    started = time.monotonic()
    world.expect(0, [], "replay", "--quiet", *outputs, LOUD, cwd=place)
    whole = time.monotonic() - started
    for _ in range(40):
        process = subprocess.Popen([world.program, "replay", "--quiet", *outputs, LOUD], cwd=place,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=world.environment)
        time.sleep(random.random() * whole)
        process.kill()
        process.wait()
        world.cases += 1
        for name in ("alerts", "sessions"):
            if os.path.exists(os.path.join(place, name)):
                whole_lines(os.path.join(place, name))
        evidence = os.path.join(place, "evidence")
        for name in os.listdir(evidence):
            if name.endswith(".pcap"):
                check(whole_capture(os.path.join(evidence, name)), f"evidence/{name} is not whole under its final name")
        check_baseline(os.path.join(place, "baseline"))
    world.expect(0, [], "replay", "--quiet", *outputs, LOUD, cwd=place)


# ---- storms


def storm(world, command, signals, end, expected, stdin=None):
    """Signals in random order at random moments, then one that ends it."""
    # The leak checker stops the process at its end as a debugger does, and waits for ever when a SIGCONT comes then.
    options = ":".join(filter(None, (world.environment.get("ASAN_OPTIONS"), "detect_leaks=0")))
    process = subprocess.Popen([world.program, *command], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**world.environment, "ASAN_OPTIONS": options})
    sent = 0
    time.sleep(0.3)
    for _ in range(200):
        if process.poll() is not None:
            break
        process.send_signal(random.choice(signals))
        sent += 1
        time.sleep(random.random() * 0.003)
    if end is not None and process.poll() is None:
        process.send_signal(end)
    try:
        _, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired as late:
        process.kill()
        raise Failure(f"{command}: hangs after {sent} signals") from late
    world.cases += 1
    errors = errors.decode(errors="replace")
    check("Sanitizer" not in errors, f"{command}: {errors[-3000:]}")
    check(process.returncode in expected, f"{command}: {sent} signals, exit {process.returncode}: {errors[-1000:]}")
    return sent


def storms(world):
    place = world.fresh("storms")
    outputs = ["--sensor", "x", "--alerts", f"{place}/alerts", "--sessions", f"{place}/sessions"]
    with open(LOUD, "rb") as file:
        data = file.read()
    big = os.path.join(place, "big.pcap")
    with open(big, "wb") as out:
        out.write(data + data[24:] * 400)
    harmless = [signal.SIGHUP, signal.SIGPIPE, signal.SIGCONT, signal.SIGWINCH, signal.SIGURG]
    sent = 0
    # Harmless ones change nothing; the first that asks it to stop does, and more of them do not hurt.
    sent += storm(world, ["replay", "--quiet", *outputs, big], harmless, None, (0,))
    for name in ("alerts", "sessions"):
        lines = open(os.path.join(place, name), "rb").read()
        check(lines.endswith(b"\n") or not lines, f"replay under a storm: {name} ends within a line")
    whole_lines(os.path.join(place, "alerts"))
    # By a pipe that stays open: however fast it reads, it has not ended when it is asked to.
    end, begin = os.pipe()
    feeder = subprocess.Popen(["sh", "-c", 'cat "$0" && exec sleep 60', big], stdout=begin)
    sent += storm(world, ["replay", "--quiet", *outputs, "-"], [*harmless, signal.SIGINT, signal.SIGTERM], signal.SIGTERM, (1,), stdin=end)
    feeder.kill()
    feeder.wait()
    os.close(end)
    os.close(begin)
    whole_lines(os.path.join(place, "alerts"))
    # A reader that waits for a pipe which says nothing.
    end, begin = os.pipe()
    sent += storm(world, ["replay", "--quiet", "-"], harmless, signal.SIGTERM, (1,), stdin=end)
    os.close(end)
    os.close(begin)
    if os.getuid() == 0:
        sent += storm(world, ["watch", "-i", "lo", *outputs], harmless, signal.SIGTERM, (0,))
        sent += storm(world, ["watch", "-i", "lo", *outputs], [*harmless, signal.SIGINT, signal.SIGTERM], signal.SIGTERM, (0,))
    with Lab() as lab:
        server = lab.server("redis")
        url = f"redis://127.0.0.1:{server.port}"
        sent += storm(world, ["replay", "--quiet", "--redis", url, "--outbox", f"{place}/outbox", LOUD], harmless, None, (0,))
        sent += storm(world, ["tail", "--redis", url], harmless, signal.SIGTERM, (0,))
        sent += storm(world, ["tail", "--redis", url], [*harmless, signal.SIGINT, signal.SIGTERM], signal.SIGTERM, (0,))
    print(f"storms: {sent} signals")


def main():
    kinds = {kind.__name__: kind for kind in (disks, reads, clocks, kills, storms)}
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(kinds):
        print(__doc__)
        return 2
    failed = 0
    with tempfile.TemporaryDirectory(prefix="stripwatch-world-") as directory:
        for name in sys.argv[2:] or kinds:
            world = World(os.path.realpath(sys.argv[1]), directory)
            start = time.monotonic()
            try:
                kinds[name](world)
                print(f"{name}: {world.cases} runs survived ({time.monotonic() - start:.0f} s)", flush=True)
            except Failure as failure:
                failed += 1
                print(f"{name}: after {world.cases} runs: {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
