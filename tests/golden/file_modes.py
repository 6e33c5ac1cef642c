#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who may read what the sensor writes: it names hosts, accounts and addresses, and is not for everybody.

	tests/golden/file_modes.py STRIPWATCH
"""

import os
import pathlib
import stat
import subprocess
import sys
import tempfile

CAPTURE = pathlib.Path(__file__).resolve().parents[2] / "pcaps" / "auth-clear-plain.pcap"


def main():
	program, failed = os.path.realpath(sys.argv[1]), 0
	os.umask(0o022)
	with tempfile.TemporaryDirectory(prefix="stripwatch-modes-") as folder:
		os.mkdir(os.path.join(folder, "evidence"))
		for _ in range(2):  # what is there already is as it was
			subprocess.run([program, "replay", "--alerts", "alerts", "--sessions", "sessions", "--report", "report",
				"--baseline", "baseline", "--evidence", "evidence", CAPTURE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
		written = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
		for path in written:
			mode = stat.S_IMODE(path.stat().st_mode)
			if mode & ~0o640:
				failed += 1
				print(f"FAILED  {path.relative_to(folder)} has mode {mode:o}")
		if len(written) < 6:
			failed += 1
			print(f"FAILED  only {len(written)} files: {written}")
	print(f"{len(written)} files, {failed} failed")
	return 1 if failed else 0


if __name__ == "__main__":
	sys.exit(main())
