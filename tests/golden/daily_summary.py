#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The summary of a day: one alert when packet time goes on to another day, none before.

  daily_summary.py [PROGRAM]
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

CAPTURES = pathlib.Path(__file__).resolve().parents[2] / "pcaps"
PROGRAM = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else os.environ["STRIPWATCH"])
DAY = 86400
failures = 0


def expect(what, good, seen=""):
    global failures
    if not good:
        failures += 1
        print(f"FAIL  {what} {seen}")


def shifted(name, days, place):
    """The capture as if it had been made so many days later."""
    data = bytearray((CAPTURES / name).read_bytes())
    assert data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"), name
    at = 24
    while at < len(data):
        seconds, _, captured, _ = struct.unpack_from("<IIII", data, at)
        struct.pack_into("<I", data, at, seconds + days * DAY)
        at += 16 + captured
    path = place / f"{days}-{name}"
    path.write_bytes(data)
    return path


def replay(*words):
    done = subprocess.run([PROGRAM, "replay", "--sensor", "test", "--json", *map(str, words)], capture_output=True, text=True, timeout=60)
    expect("exit", done.returncode == 0, done.stderr)
    return done.stdout


def summaries(text):
    alerts = [json.loads(line) for line in text.splitlines()]
    return [a for a in alerts if a["stripwatch"]["reason"] == "daily-summary"]


def main():
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        logins = [CAPTURES / "auth-clear-plain.pcap", CAPTURES / "auth-clear-login.pcap", CAPTURES / "auth-clear-cram-md5.pcap"]
        later = [shifted("clear-connect-quit.pcap", 1, place), shifted("auth-clear-plain.pcap", 2, place), shifted("clear-connect-quit.pcap", 4, place)]
        expect("not before the day is over", not summaries(replay(*logins)))
        once = summaries(replay(*logins, later[0]))
        expect("one", len(once) == 1, once)
        if once:
            alert = once[0]
            exposed = alert["stripwatch"]["exposed"]
            expect("the rule", alert["rule"]["id"] == "plaintext-credentials")
            expect("a summary", alert["stripwatch"]["summary"] is True and alert["stripwatch"]["count"] == 3, alert["stripwatch"]["count"])
            expect("the client", [c["client"]["ip"] for c in exposed["worst"]] == ["192.0.2.10"], exposed)
            expect("the mechanisms", set(exposed["worst"][0]["mechanisms"]) == {"PLAIN", "LOGIN", "CRAM-MD5"}, exposed)
            expect("the sentence", "1 client sent credentials without TLS in 3 sessions" in alert["message"], alert["message"])
            expect("no account", "scanner" not in json.dumps(alert))
        everything = replay(*logins, *later)
        days = summaries(everything)
        expect("one for each day", [d["stripwatch"]["count"] for d in days] == [3, 1], days)
        expect("ids differ", len({d["event"]["id"] for d in days}) == 2)
        expect("byte-identical", everything == replay(*logins, *later))
        named = summaries(replay("--show-accounts", *logins, later[0]))
        expect("accounts where they may be shown", named and "accounts" in named[0]["stripwatch"]["exposed"]["worst"][0], named)
        expect("disabled", not summaries(replay("--disable", "plaintext-credentials", *logins, later[0])))
        allowed = ["--allow", "rule=plaintext-credentials client=192.0.2.10"]
        expect("allowed", not summaries(replay(*allowed, *logins, later[0])))
        lines = place / "alerts.jsonl"
        lines.write_text("\n".join(line for line in everything.splitlines() if "daily-summary" in line) + "\n")
        schema = pathlib.Path(__file__).resolve().parents[1] / "checks/schema.py"
        done = subprocess.run([schema, lines], capture_output=True, text=True, timeout=60)
        expect("the schema", done.returncode == 0, done.stdout)
    print("daily summary: " + ("passed" if failures == 0 else f"{failures} failed"))
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
