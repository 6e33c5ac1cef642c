#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What watch says to whoever starts it, on a quiet interface of a network of its own.

  people.py PROGRAM
"""
import os
import re
import subprocess
import sys

failures = 0


def expect(what, good, printed):
    global failures
    if not good:
        failures += 1
        print(f"{what}: not so in\n{printed}")


def watch(*arguments):
    """Until a second after it should have said all that it has to say."""
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec timeout --signal=TERM 4 "$@"', "sh", sys.argv[1], "watch",
               *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout, done.stderr


def main():
    if os.geteuid() != 0:
        print("needs root, for a network namespace")
        return 77
    out, errors = watch("-i", "lo", "--redis", "redis://127.0.0.1:1")
    expect("that it is listening comes first", out.startswith("Watching lo;"), out)
    expect("a Redis that is away is said without any alert", re.search(r"redis://127\.0\.0\.1:1: .*; trying again", errors), errors)
    expect("once", errors.count("trying again") == 1, errors)
    out, errors = watch("-i", "lo", "--quiet")
    expect("nothing for people when quiet", out == "" and errors == "", out + errors)
    out, errors = watch("-i", "lo", "--filter", "tcp prot 25")
    expect("a wrong filter is called by its option", "lo: --filter: " in errors, errors)

    command = ["unshare", "--net", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", sys.argv[1],
               "watch", "-i", "lo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 126:  # 126: this user may not reach the program
        expect("what the permission is called", done.returncode == 2 and "CAP_NET_RAW" in done.stderr, done.stderr)
    print("for people: " + ("passed" if failures == 0 else f"{failures} failed"))
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
