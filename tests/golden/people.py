#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What replay prints for people: whose alerts these are, what was found, what to try where nothing was.

  people.py PROGRAM
"""
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "property"))
import traffic  # noqa: E402

FIRST, QUIET, LAST = (str(ROOT / "pcaps" / name) for name in ("strip-curl.pcap", "straight-postfix-curl.pcap", "auth-clear-plain.pcap"))
HINT = "No SMTP was seen on the ports of --ports"
failures = 0


def expect(what, good, printed):
    global failures
    if not good:
        failures += 1
        print(f"{what}: not so in\n{printed}")


def replay(*arguments):
    done = subprocess.run([sys.argv[1], "replay", *arguments], capture_output=True, text=True, timeout=60)
    return done.stdout


def packets(path):
    data = pathlib.Path(path).read_bytes()
    at, out = 24, []
    while at < len(data):
        seconds, part, length, _ = struct.unpack("<IIII", data[at:at + 16])
        out.append((seconds + part * 1e-6, data[at + 16:at + 16 + length]))
        at += 16 + length
    return out


def write(path, records):
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    for time, kept, sent in records:
        out += struct.pack("<IIII", int(time), int(time % 1 * 1e6), len(kept), sent or len(kept)) + kept
    path.write_bytes(out)


def vxlan(frame):
    udp = struct.pack(">HHHH", 5555, 4789, 16 + len(frame), 0) + struct.pack(">II", 0x08000000, 42 << 8) + frame
    return bytes(12) + b"\x08\x00" + struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\xcb\0\x71\1", b"\xcb\0\x71\2") + udp


def to_domains(count):
    """A mail whose recipients have so many domains."""
    c = traffic.Conversation()
    c.server("220 mx.example ESMTP").client("EHLO c.example").server("250-mx.example", "250 PIPELINING")
    c.client("MAIL FROM:<a@a.example>").server("250 ok")
    for i in range(count):
        c.client(f"RCPT TO:<b@department{i}.university.example>").server("250 ok")
    return c.client("QUIT").server("221 bye").end().segments


def said_of(cases):
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "cases.pcap"
        traffic.write_pcap(path, cases)
        return subprocess.run([sys.argv[1], "replay", str(path)], capture_output=True, text=True, timeout=60).stderr


def main():
    alert = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (LOW|MEDIUM|HIGH|CRITICAL) ")
    printed = replay("--separate", FIRST, QUIET, LAST)
    lines = printed.split("\nPackets ")[0].splitlines()
    headings = [line for line in lines if line and not alert.match(line)]
    expect("a heading above the alerts of each capture that has any", headings == [FIRST + ":", LAST + ":"], printed)
    expect("the heading comes first", lines and lines[0] == FIRST + ":", printed)

    printed = replay(FIRST, LAST)
    expect("one timeline has no headings", FIRST + ":" not in printed and LAST + ":" not in printed, printed)
    title = re.search(r"^Findings \((\d+): (.*)\)$", printed, re.M)
    counts = [int(part.split()[0]) for part in title[2].split(", ")] if title else []
    expect("severities add up", title and sum(counts) == int(title[1]), printed)
    words = [part.split()[1] for part in title[2].split(", ")] if title else []
    expect("worst first", words == [w for w in ("critical", "high", "medium", "low") if w in words], printed)
    expect("no advice where there is SMTP", HINT not in printed, printed)

    printed = replay("--ports", "2", FIRST)
    expect("advice where there is none", HINT in printed, printed)
    printed = replay("--ports", "2", "--all-ports", FIRST)
    expect("found on any port, no advice", HINT not in printed and "Sessions (0)" not in printed, printed)

    expect("nothing of packets that could not be read where all were", "not readable" not in printed, printed)
    with tempfile.TemporaryDirectory() as directory:
        cut = pathlib.Path(directory) / "cut.pcap"
        frames = [frame for _, frame in packets(FIRST)]
        write(cut, [(1e9 + i, frame[:30], len(frame)) for i, frame in enumerate(frames)])
        printed = replay(str(cut))
        expect("packets cut inside a header", f", not readable {len(frames)} ({len(frames)} cut, 0 malformed)" in printed, printed)
        # As a mirror sends them that cuts first and encapsulates then: VXLAN (RFC 7348) says nothing of it.
        write(cut, [(1e9 + i, vxlan(frame[:60]), None) for i, frame in enumerate(frames)])
        printed = replay(str(cut))
        whole = sum(len(frame) <= 60 for frame in frames)
        expect("packets shorter than they say", f", not readable {len(frames) - whole} (0 cut, {len(frames) - whole} malformed)" in printed, printed)

        ahead = [(time, frame, None) for time, frame in packets(FIRST)]
        done = subprocess.run([sys.argv[1], "replay", FIRST], capture_output=True, text=True, timeout=60)
        expect("nothing of the clock", "more than 300 s" not in done.stderr, done.stderr)
        ahead.insert(3, (ahead[2][0] + 1e9, b"\0" * 60, None))
        write(cut, ahead)
        done = subprocess.run([sys.argv[1], "replay", str(cut)], capture_output=True, text=True, timeout=60)
        expect("a time far ahead", f"{len(ahead) - 4} packets are more than 300 s older than one before" in done.stderr, done.stderr)

    expect("no cap", "cap was reached" not in said_of([(20000, to_domains(100))]), "")
    expect("more domains than are kept", "cap was reached" in said_of([(20000, to_domains(300))]), "")

    with tempfile.TemporaryDirectory() as directory:
        hostile = pathlib.Path(directory) / "a\x1b[31m\n.pcap"
        hostile.write_bytes(pathlib.Path(FIRST).read_bytes())
        printed = replay("--separate", str(hostile))
        expect("no control characters of a path", "\x1b" not in printed and "a?[31m?.pcap:" in printed, printed)
    print("for people: " + ("passed" if failures == 0 else f"{failures} failed"))
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
