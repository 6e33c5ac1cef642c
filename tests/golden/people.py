#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What replay prints for people: whose alerts these are, what was found, what to try where nothing was.

  people.py PROGRAM
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
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

    with tempfile.TemporaryDirectory() as directory:
        hostile = pathlib.Path(directory) / "a\x1b[31m\n.pcap"
        hostile.write_bytes(pathlib.Path(FIRST).read_bytes())
        printed = replay("--separate", str(hostile))
        expect("no control characters of a path", "\x1b" not in printed and "a?[31m?.pcap:" in printed, printed)
    print("for people: " + ("passed" if failures == 0 else f"{failures} failed"))
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
