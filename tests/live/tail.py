#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
stripwatch tail against a real Redis: what it shows, takes up again, claims and misses, in a
pipe and in a real terminal (tmux).

    tail.py [build/release/stripwatch] [NAME ...]

Exit status: 0 passed, 1 failed.
"""
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from redis_lab import Lab  # noqa: E402

STREAM, GROUP = "stripwatch:alerts", "stripwatch-tail"
PCAPS = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "pcaps")


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


class Tail:
    """A running tail whose lines can be waited for."""

    def __init__(self, server, *options):
        self.process = subprocess.Popen(
            [PROGRAM, "tail", "--redis", f"redis://127.0.0.1:{server.port}", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.queue = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.queue.put(line.rstrip("\n"))

    def lines(self, count, seconds=15):
        """So many lines, and that none follows at once."""
        got = []
        try:
            while len(got) < count:
                got.append(self.queue.get(timeout=seconds))
            got.append(self.queue.get(timeout=0.3))
        except queue.Empty:
            pass
        check(len(got) == count, f"{len(got)} lines instead of {count}: {got[-3:]} {self.errors_so_far()}")
        return got

    def errors_so_far(self):
        return f"exit {self.process.poll()}"

    def stop(self, expect=0):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=10)
        err = self.process.stderr.read()
        check(self.process.returncode == expect, f"exit {self.process.returncode}: {err[-300:]}")
        return err


def shown(server, count, *options):
    """The numbers of the documents that one run shows; what it said."""
    tail = Tail(server, "--json", *options)
    lines = tail.lines(count)
    # Time for the acknowledgement.
    time.sleep(0.2)
    return [json.loads(line)["number"] for line in lines], tail.stop()


class Stream:
    def __init__(self, server):
        self.server, self.client = server, server.client()

    def add(self, number, severity="high", rule="tls-weak", text="plain"):
        document = json.dumps({"@timestamp": "2026-01-31T12:00:00.000000Z", "message": text, "number": number})
        self.client("XADD", STREAM, "*", "id", f"{number:032x}", "rule", rule, "severity", severity, "sensor", "t",
                    "json", document)

    def pending(self):
        return self.client("XPENDING", STREAM, GROUP)[0]


def resumes(lab):
    stream = Stream(lab.server("r"))
    for i in range(10):
        stream.add(i)
    check(shown(stream.server, 10)[0] == list(range(10)), "first run")
    check(shown(stream.server, 0)[0] == [], "what was acknowledged came again")
    # One that died with entries in its hand gets them first.
    for i in range(10, 15):
        stream.add(i)
    stream.client("XREADGROUP", "GROUP", GROUP, "me", "COUNT", 3, "STREAMS", STREAM, ">")
    check(shown(stream.server, 5, "--consumer", "me")[0] == list(range(10, 15)), "resume")
    check(stream.pending() == 0, "something is still pending")
    return "15 alerts in three runs, each once"


def claims(lab):
    stream = Stream(lab.server("r"))
    shown(stream.server, 0)
    stream.add(1)
    entry = stream.client("XREADGROUP", "GROUP", GROUP, "dead", "STREAMS", STREAM, ">")[0][1][0][0]
    check(shown(stream.server, 0)[0] == [], "taken from a reader that may still be alive")
    stream.client("XCLAIM", STREAM, GROUP, "dead", 0, entry, "IDLE", 61000)
    check(shown(stream.server, 1)[0] == [1], "not claimed")
    check(stream.pending() == 0, "still pending")
    return "from a reader that is idle for a minute, not before"


def filters(lab):
    stream = Stream(lab.server("r"))
    for i in range(12):
        stream.add(i, severity=("low", "medium", "high", "critical")[i % 4], rule=("tls-weak", "plaintext-mail")[i % 3 == 0])
    since = ("--since", "1h")
    check(shown(stream.server, 12)[0] == list(range(12)), "everything")
    check(shown(stream.server, 12, *since)[0] == list(range(12)), "--since shows again")
    check(shown(stream.server, 6, *since, "--severity", "high")[0] == [2, 3, 6, 7, 10, 11], "--severity")
    check(shown(stream.server, 4, *since, "--rule", "plaintext-mail")[0] == [0, 3, 6, 9], "--rule")
    check(shown(stream.server, 12, *since, "--rule", "plaintext-mail", "--rule", "tls-weak")[0] == list(range(12)), "two rules")
    check(shown(stream.server, 1, *since, "--rule", "plaintext-mail", "--severity", "critical")[0] == [3], "both")
    entry = stream.client("XRANGE", STREAM, "-", "+")[8][0]
    check(shown(stream.server, 4, "--since", entry)[0] == [8, 9, 10, 11], "--since an id")
    time.sleep(1.1)
    check(shown(stream.server, 0, "--since", "1s")[0] == [], "--since an age")
    check(stream.pending() == 0, "something is pending")
    return "since an age and an id, severity, rules"


def says_what_was_trimmed(lab):
    stream = Stream(lab.server("r"))
    for i in range(10):
        stream.add(i)
    shown(stream.server, 10)
    for i in range(10, 24):
        stream.add(i)
    stream.client("XTRIM", STREAM, "MAXLEN", 5)
    numbers, err = shown(stream.server, 5)
    check(numbers == list(range(19, 24)), f"{numbers}")
    check("9 alerts were trimmed" in err, f"said: {err}")
    # And those that someone held and did not acknowledge.
    for i in range(24, 27):
        stream.add(i)
    stream.client("XREADGROUP", "GROUP", GROUP, "me", "STREAMS", STREAM, ">")
    stream.client("XTRIM", STREAM, "MAXLEN", 1)
    numbers, err = shown(stream.server, 1, "--consumer", "me")
    check(numbers == [26] and "2 alerts were trimmed" in err, f"{numbers}: {err}")
    return "9 unread, 2 in a reader's hand"


def every_format(lab):
    """ECS, EVE and OCSF give the same lines, but for the name that EVE has no place for."""
    lines = {}
    for name in ("ecs", "eve", "ocsf"):
        server = lab.server(name)
        subprocess.run([PROGRAM, "replay", "--quiet", "--alert-format", name, "--redis",
                        f"redis://127.0.0.1:{server.port}", os.path.join(PCAPS, "auth-clear-plain.pcap")], check=True)
        count = server.call("XLEN", STREAM)
        tail = Tail(server)
        lines[name] = tail.lines(count)
        tail.stop()
    check(len(lines["ecs"]) == 3 and "192.0.2.10 -> 198.51.100.36:587 (auth.example.test)" in lines["ecs"][0], f"{lines['ecs']}")
    check(lines["ocsf"] == lines["ecs"], f"OCSF: {lines['ocsf']}")
    check(lines["eve"] == [line.replace("(auth.example.test) ", "") for line in lines["ecs"]], f"EVE: {lines['eve']}")
    return "three formats, the same lines"


def restricted_user(lab):
    """The commands that DELIVERY.md gives to a reader are enough."""
    rights = "~stripwatch:alerts -@all +xgroup|create +xreadgroup +xack +xautoclaim +xrange +xinfo|stream +xinfo|groups"
    stream = Stream(lab.server("r", f"user soc on >secret {rights}"))
    for i in range(3):
        stream.add(i)
    password = lab.path("password")
    with open(password, "w") as f:
        f.write("secret\n")
    command = [PROGRAM, "tail", "--json", "--redis", f"redis://soc@127.0.0.1:{stream.server.port}", "--since", "1h",
               "--redis-password-file", password]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    numbers = [json.loads(process.stdout.readline())["number"] for _ in range(3)]
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    err = process.communicate(timeout=10)[1]
    check(numbers == [0, 1, 2] and process.returncode == 0 and err == "", f"{numbers}, exit {process.returncode}: {err}")
    check(stream.pending() == 0, "not acknowledged")
    with open(os.path.join(PCAPS, "..", "deploy", "DELIVERY.md")) as f:
        check(rights in f.read(), "DELIVERY.md names other rights")
    return "seven commands"


def redis_cli_recipe(lab):
    """deploy/consumers/redis-cli.sh: goes on where it stopped, takes up what it did not acknowledge."""
    stream = Stream(lab.server("r"))
    recipe = os.path.join(PCAPS, "..", "deploy", "consumers", "redis-cli.sh")

    def run():
        done = subprocess.run([recipe, "-p", str(stream.server.port)], capture_output=True, timeout=60,
                              env={**os.environ, "CONSUMER": "c"})
        check(done.returncode == 0, f"exit {done.returncode}: {done.stderr[-300:]}")
        check(all(byte >= 0x20 or byte == 0x0a for byte in done.stdout), "control characters came out")
        return [json.loads(line)["number"] for line in done.stdout.splitlines()]

    for i in range(250):
        stream.add(i, text="\x1b[2J\x07'$(touch /tmp/x)'")
    check(run() == list(range(250)), "first run")
    check(run() == [], "what was acknowledged came again")
    for i in range(250, 255):
        stream.add(i)
    stream.client("XREADGROUP", "GROUP", "shell", "c", "COUNT", 3, "STREAMS", STREAM, ">")
    check(run() == list(range(250, 255)), "resume")
    check(stream.client("XPENDING", STREAM, "shell")[0] == 0, "something is pending")
    return "255 alerts in three runs, each once"


def in_a_terminal(lab):
    """A real terminal: what is on the screen, which colours, and where the cursor is."""
    stream = Stream(lab.server("r"))
    hostile = "\x1b[2J\x1b[31m\x9b5A\u202eabc\r\n\x07\x1b]0;title\x07\u200bend"
    for i, severity in enumerate(("low", "medium", "high", "critical")):
        stream.add(i, severity=severity, text=f"Message {i}.")
    stream.add(4, text=hostile, rule="tls-\x1b[1mweak")
    stream.add(5, text="The last line.")
    tmux = ["tmux", "-L", f"stripwatch{os.getpid()}", "-f", "/dev/null"]
    command = f"{PROGRAM} tail --redis redis://127.0.0.1:{stream.server.port}; echo END $?; sleep 60"
    environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    environment.pop("NO_COLOR", None)
    subprocess.run([*tmux, "new-session", "-d", "-x", "150", "-y", "30", command], check=True, env=environment)
    try:
        def screen(*options):
            return subprocess.run([*tmux, "capture-pane", "-p", *options], capture_output=True, text=True, check=True).stdout

        for _ in range(100):
            if "The last line." in screen():
                break
            time.sleep(0.1)
        plain, painted = screen().rstrip().splitlines(), screen("-e")
        check(len(plain) == 6, f"{len(plain)} lines: {plain}")
        for i, word in enumerate(("LOW", "MEDIUM", "HIGH", "CRITICAL")):
            check(plain[i] == f"2026-01-31 12:00:00 {word:8} tls-weak: Message {i}.", f"{plain[i]!r}")
        check(plain[4].startswith("2026-01-31 12:00:00 HIGH     tls-\\x1b[1mweak: \\x1b[2J\\x1b[31m") and
              plain[4].endswith("end"), f"{plain[4]!r}")
        check(plain[5].endswith("The last line."), f"{plain[5]!r}")
        rows = painted.splitlines()
        check("\x1b[36mLOW" in rows[0] and "\x1b[33mMEDIUM" in rows[1] and "\x1b[31mHIGH" in rows[2], f"{rows[:3]!r}")
        check("41m" in rows[3].split("CRITICAL")[0], f"{rows[3]!r}")
        # The hostile line has the colours of any other high one, up to its end.
        check(rows[4].count("\x1b[") == rows[2].count("\x1b["), f"{rows[4]!r}")
        title = subprocess.run([*tmux, "display-message", "-p", "#{pane_title} #{cursor_x},#{cursor_y}"],
                               capture_output=True, text=True, check=True).stdout.strip()
        check("title" not in title and title.endswith(" 0,6"), f"title and cursor: {title}")
        subprocess.run([*tmux, "send-keys", "C-c"], check=True)
        for _ in range(50):
            if "END 0" in screen():
                break
            time.sleep(0.1)
        check("END 0" in screen(), f"Ctrl-C: {screen()}")
        check(stream.pending() == 0, "what was on the screen is not acknowledged")
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
    return "colours by severity, one line each, the cursor where it belongs, Ctrl-C ends it"


def redis_restarts(lab):
    stream = Stream(lab.server("r", "appendonly yes", "appendfsync always"))
    server = stream.server
    stream.add(0)
    tail = Tail(server, "--json")
    tail.lines(1)
    server.kill()
    time.sleep(1)
    server.start()
    stream = Stream(server)
    stream.add(1)
    check([json.loads(line)["number"] for line in tail.lines(1)] == [1], "nothing came after the restart")
    # The stream and its group vanish under its feet.
    server.call("FLUSHALL")
    stream.add(2)
    check([json.loads(line)["number"] for line in tail.lines(1)] == [2], "nothing came after FLUSHALL")
    err = tail.stop()
    check("redis://127.0.0.1" in err, f"said: {err}")
    return "goes on after a restart and after FLUSHALL"


def output_closed(lab):
    """What nobody saw is not acknowledged."""
    stream = Stream(lab.server("r"))
    for i in range(5):
        stream.add(i)
    command = [PROGRAM, "tail", "--json", "--redis", f"redis://127.0.0.1:{stream.server.port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.3)
    process.stdout.close()
    stream.add(5)
    check(process.wait(timeout=10) == 1, f"exit {process.returncode}")
    check("standard output" in process.stderr.read(), "nothing was said")
    check(stream.pending() == 1, f"{stream.pending()} pending")
    check(shown(stream.server, 1)[0] == [5], "it does not come again")
    with open("/dev/full", "w") as full:
        stream.add(6)
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=20)
    check(done.returncode == 1 and stream.pending() == 1, f"full disk: exit {done.returncode}, {stream.pending()} pending")
    check("standard output" in done.stderr, f"said: {done.stderr!r}")
    return "a closed pipe and a full disk end it, the alert comes again"


TESTS = [resumes, claims, filters, says_what_was_trimmed, every_format, restricted_user, redis_cli_recipe, in_a_terminal, redis_restarts, output_closed]


def main():
    passed = failed = 0
    for test in TESTS:
        if NAMES and test.__name__ not in NAMES:
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


PROGRAM, NAMES = "build/release/stripwatch", sys.argv[1:]
if NAMES and os.access(NAMES[0], os.X_OK):
    PROGRAM = NAMES.pop(0)
PROGRAM = os.path.realpath(PROGRAM)
if __name__ == "__main__":
    sys.exit(main())
