#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Throughput of outbox and Redis sink beside redis-benchmark's XADD of the same size and
pipeline depth, one connection each, as a ratio. Best of several turns, since both share the CPUs.

    redis_throughput.py --load build/release/tests/alert_load
"""
import argparse
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from redis_lab import Lab  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--load", default="build/release/tests/alert_load")
parser.add_argument("--count", type=int, default=100000)
parser.add_argument("--depth", type=int, default=128)
parser.add_argument("--turns", type=int, default=3)
args = parser.parse_args()

for name, settings in (("appendonly no", ["appendonly no"]), ("appendfsync always", ["appendonly yes", "appendfsync always"])):
    with Lab() as lab:
        server = lab.server("r", *settings)
        best = {"redis-benchmark": 0.0, "memory": 0.0, "disk": 0.0}
        for turn in range(args.turns):
            words = ["XADD", "bench", "MAXLEN", "~", "10000000", "*", "id", "0" * 32, "rule", "starttls-stripped",
                     "severity", "high", "sensor", "load", "json", "x" * 780]
            out = subprocess.run(["redis-benchmark", "-p", str(server.port), "--csv", "-n", str(args.count), "-c", "1",
                                  "-P", str(args.depth), *words], capture_output=True, text=True, check=True).stdout
            best["redis-benchmark"] = max(best["redis-benchmark"], float(out.splitlines()[-1].split('","')[1]))
            for kind, more in (("memory", []), ("disk", ["--outbox", lab.path(f"box{turn}")])):
                server.call("FLUSHALL")
                out = subprocess.run([args.load, "--redis", f"redis://127.0.0.1:{server.port}", "--count", str(args.count),
                                      "--batch", str(args.depth), "--put-wait-ms", "20000", *more],
                                     capture_output=True, text=True, check=True).stdout
                stats = json.loads(out)
                assert stats["left"] == 0 and not any(stats["dropped"]), stats
                best[kind] = max(best[kind], args.count / stats["seconds"])
        base = best["redis-benchmark"]
        print(f"{name}, depth {args.depth}: redis-benchmark {base:,.0f}/s; outbox in memory {best['memory']:,.0f}/s "
              f"({best['memory'] / base:.2f}); outbox on disk {best['disk']:,.0f}/s ({best['disk'] / base:.2f})")
