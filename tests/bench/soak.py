#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A long run: the bundled captures over and over, on addresses and at times of their own.

    tests/bench/soak.py [--build DIR] [--packets N] [--minutes M] [--workers N] [--out DIR]

The packets are spread over the minutes. Every ten seconds memory, descriptors, and the age of the
alerts that left since (from the packet being written to the alert being read) are noted in
DIR/soak.tsv; at the end DIR/soak.svg shows them, if gnuplot is installed. The run fails when the
sensor ends with anything but 0, or does not read every packet, or holds more descriptors than at
the start. Whether memory stays level is for the reader of the figure: the line below says it in
numbers.
"""
import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

PLOT = """set terminal svg size 900,720 font "sans,11"
set output "{svg}"
set multiplot layout 3,1
set grid
set key off
set xlabel ""
set ylabel "resident memory, MiB"
set yrange [0:*]
plot "{tsv}" using ($1/60):2 with lines lw 2
set ylabel "descriptors"
plot "{tsv}" using ($1/60):3 with lines lw 2
set ylabel "age of an alert, ms"
set xlabel "minutes"
set logscale y
set yrange [*:*]
set key on
plot "{tsv}" using ($1/60):5 with lines title "median", "{tsv}" using ($1/60):6 with lines title "greatest"
"""


class Ages(threading.Thread):
	"""Reads the alerts and keeps how old each was."""

	def __init__(self, stream):
		super().__init__(daemon=True)
		self.stream, self.ages, self.count, self.lock = stream, [], 0, threading.Lock()

	def run(self):
		for line in self.stream:
			now = time.time()
			stamp = re.match(rb'\{"@timestamp":"([^"]+)"', line)
			# A summary of a window that closed carries the time of its first session.
			if b'"stripwatch":' not in line or stamp is None:
				continue
			then = datetime.strptime(stamp.group(1).decode(), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()
			with self.lock:
				self.count += 1
				if b'"count":1' in line or b'"count":' not in line:
					self.ages.append(now - then)

	def take(self):
		with self.lock:
			ages, self.ages = sorted(self.ages), []
			return self.count, ages


def main():
	parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
	parser.add_argument("--packets", type=int, default=10**9)
	parser.add_argument("--minutes", type=float, default=60)
	parser.add_argument("--workers", type=int, default=1)
	parser.add_argument("--out", default="soak")
	options = parser.parse_args()
	os.makedirs(options.out, exist_ok=True)
	captures = sorted(glob.glob(os.path.join(ROOT, "pcaps", "*.pcap")))
	rate = int(options.packets / (options.minutes * 60))
	loop = subprocess.Popen([os.path.join(options.build, "tests", "bench_loop"), str(options.packets), str(rate), *captures],
		stdout=subprocess.PIPE)
	sensor = subprocess.Popen([os.path.join(options.build, "stripwatch"), "replay", "--sensor", "soak", "--workers",
		str(options.workers), "--alerts", "-", "--sessions", "/dev/null", "-"], stdin=loop.stdout, stdout=subprocess.PIPE)
	loop.stdout.close()
	ages = Ages(sensor.stdout)
	ages.start()

	start, rows = time.monotonic(), []
	tsv = os.path.join(options.out, "soak.tsv")
	status = usage = None
	with open(tsv, "w", encoding="utf-8") as out:
		print("#seconds\tMiB\tdescriptors\talerts\tage_median_ms\tage_max_ms", file=out)
		while status is None:
			for _ in range(100):
				pid, status, usage = os.wait4(sensor.pid, os.WNOHANG)
				if pid != 0:
					break
				status = None
				time.sleep(0.1)
			if status is not None:
				break
			with open(f"/proc/{sensor.pid}/status", encoding="utf-8") as file:
				memory = int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024
			descriptors = len(os.listdir(f"/proc/{sensor.pid}/fd"))
			count, seen = ages.take()
			median = seen[len(seen) // 2] * 1000 if seen else float("nan")
			greatest = seen[-1] * 1000 if seen else float("nan")
			rows.append((time.monotonic() - start, memory, descriptors, count, median, greatest))
			print("\t".join(f"{value:.1f}" for value in rows[-1]), file=out, flush=True)
	loop.wait()
	minutes = (time.monotonic() - start) / 60
	code = os.waitstatus_to_exitcode(status)
	if shutil.which("gnuplot"):
		subprocess.run(["gnuplot"], input=PLOT.format(svg=os.path.join(options.out, "soak.svg"), tsv=tsv), text=True, check=True)
	result = {
		"packets": options.packets, "minutes": round(minutes, 1), "exit": code, "workers": options.workers,
		"cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1), "peak_mib": round(usage.ru_maxrss / 1024, 1),
		"alerts": ages.take()[0],
	}
	settled = rows[len(rows) // 4:]
	if settled:
		result["mib_after_a_quarter"] = round(settled[0][1], 1)
		result["mib_at_the_end"] = round(settled[-1][1], 1)
		result["descriptors"] = [settled[0][2], settled[-1][2]]
		medians = sorted(row[4] for row in settled if row[4] == row[4])
		if medians:
			result["age_ms_median"] = round(medians[len(medians) // 2], 1)
			result["age_ms_greatest"] = round(max(row[5] for row in settled if row[5] == row[5]), 1)
	print(json.dumps(result))
	good = code == 0 and loop.returncode == 0 and (not settled or settled[0][2] >= settled[-1][2])
	return 0 if good else 1


if __name__ == "__main__":
	sys.exit(main())
