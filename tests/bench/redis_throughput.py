#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Throughput of outbox and Redis sink beside redis-benchmark's XADD of the same size and
pipeline depth, one connection each. They take turns, each pair gives a ratio; printed are
the median ratio and the spread, since everything shares the CPUs.

    redis_throughput.py --load build/release/tests/alert_load
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from redis_lab import Lab  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--load", default="build/release/tests/alert_load")
parser.add_argument("--count", type=int, default=100000)
parser.add_argument("--depth", type=int, default=128)
parser.add_argument("--turns", type=int, default=5)
args = parser.parse_args()
# As long as what alert_load sends.
XADD = ["XADD", "bench", "MAXLEN", "~", "10000000", "*", "id", "0" * 32, "rule", "starttls-stripped",
        "severity", "high", "sensor", "load", "json", "x" * 777]


def output(words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)[:200]}: exit {done.returncode}: {done.stdout[-200:]} {done.stderr[-400:]}")
    return done.stdout


def benchmark(server):
    server.call("FLUSHALL")
    out = output(["redis-benchmark", "-p", str(server.port), "--csv", "-n", str(args.count), "-c", "1",
                  "-P", str(args.depth), *XADD])
    return float(out.splitlines()[-1].split('","')[1])


def deliver(server, *more):
    server.call("FLUSHALL")
    out = output([args.load, "--redis", f"redis://127.0.0.1:{server.port}", "--count", str(args.count),
                  "--batch", str(args.depth), "--put-wait-ms", "20000", *more])
    stats = json.loads(out)
    assert stats["left"] == 0 and not any(stats["dropped"]), stats
    return args.count / stats["seconds"]


for name, settings in (("appendonly no", ["appendonly no"]),
                       ("appendfsync everysec", ["appendonly yes", "appendfsync everysec"]),
                       ("appendfsync always", ["appendonly yes", "appendfsync always"])):
    with Lab() as lab:
        server = lab.server("r", *settings, "auto-aof-rewrite-percentage 0")
        base, ratios = [], {"memory": [], "disk": []}
        for turn in range(args.turns):
            base.append(benchmark(server))
            ratios["memory"].append(deliver(server) / base[-1])
            base.append(benchmark(server))
            ratios["disk"].append(deliver(server, "--outbox", lab.path(f"box{turn}")) / base[-1])
        text = "; ".join(f"outbox {'in' if kind == 'memory' else 'on'} {kind} {statistics.median(r):.2f} "
                         f"({min(r):.2f} to {max(r):.2f})" for kind, r in ratios.items())
        print(f"{name}, depth {args.depth}: redis-benchmark {statistics.median(base):,.0f}/s; {text}", flush=True)
