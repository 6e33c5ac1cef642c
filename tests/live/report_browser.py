#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The HTML report in a real browser: Chromium without a window, driven by its own driver.

Conversations whose every free text tries to become markup are replayed with
--report. The page must show them as text, load nothing, say what the records and
alerts say, open an alert's evidence by a click, fit a desktop and a telephone
without scrolling sideways, and hold no secret.

    tests/live/report_browser.py path/to/stripwatch

Exit status: 0 passed, 1 failed, 77 could not run here (last line: the reason).
"""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "property"))

from traffic import Conversation, write_pcap  # noqa: E402

MARK = "document.title='owned'"
HOSTILE = (
	f"<script>{MARK}</script>",
	f"\"><img/src=x/onerror={MARK}>",
	f"'onmouseover={MARK}//",
	f"</td></table><svg/onload={MARK}>",
	f"<a/href=javascript:{MARK}>x</a>",
	"<link/rel=stylesheet/href=http://192.0.2.99/x.css>",
	"&lt;b&gt;&#x3c;i&#x3e;",
	"<!--",
	"</style></title><base/href=//192.0.2.99>",
	"\u202egnp.exe",
)
PASSWORD = "YWxpY2UAc3dvcmRmaXNo"
BODY = "the body of the message"


def conversation(text, ending):
	"""A mail and a password in the clear; every name in it is hostile."""
	c = Conversation()
	c.server(f"220 {text} ESMTP").client(f"EHLO {text}")
	c.server(f"250-{text} hello", "250-AUTH PLAIN", "250-XXXXXXXA" if ending else "250-STARTTLS", "250 HELP")
	c.client(f"AUTH PLAIN {PASSWORD}").server("235 ok")
	c.client(f"MAIL FROM:<a@{text}>").server("250 ok").client(f"RCPT TO:<b@{text}>").server("250 ok")
	c.client("DATA").server("354 go").client(f"Subject: {BODY}", "", ".").server("250 queued")
	return c.client("QUIT").server("221 bye").end().segments


def chromium():
	try:
		from selenium import webdriver
		from selenium.webdriver.chrome.service import Service
	except ImportError:
		return None
	if not (os.path.exists("/usr/bin/chromium") and os.path.exists("/usr/bin/chromedriver")):
		return None
	options = webdriver.ChromeOptions()
	options.binary_location = "/usr/bin/chromium"
	for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
		"--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"):
		options.add_argument(argument)
	options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
	return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


def main():
	program = os.path.abspath(sys.argv[1])
	failures = []

	def expect(good, what):
		print(("ok    " if good else "FAIL  ") + what)
		if not good:
			failures.append(what)

	with tempfile.TemporaryDirectory() as folder:
		capture = os.path.join(folder, "hostile.pcap")
		page, sessions, alerts = (os.path.join(folder, name) for name in ("r.html", "s.jsonl", "a.jsonl"))
		cases = [(20000 + i, conversation(text, i % 2)) for i, text in enumerate(HOSTILE)]
		write_pcap(capture, cases)
		subprocess.run([program, "replay", "--quiet", "--sensor", "<b>sensor</b>", "--suppression-window", "0",
			"--report", page, "--sessions", sessions, "--alerts", alerts, capture], check=True, timeout=60)
		with open(sessions, encoding="utf-8") as file:
			sessions = [json.loads(line) for line in file]
		with open(alerts, encoding="utf-8") as file:
			alerts = [json.loads(line) for line in file]

		driver = chromium()
		if driver is None:
			print("needs chromium, chromium-driver and python3-selenium")
			return 77
		try:
			judge(driver, page, sessions, alerts, expect)
		finally:
			driver.quit()
		with open(page, encoding="utf-8") as file:
			source = file.read()
		expect(PASSWORD not in source and BODY not in source, "neither a password nor a message is in the page")
	print(f"\n{len(failures)} failed")
	return 1 if failures else 0


def judge(driver, page, sessions, alerts, expect):
	driver.set_window_size(1280, 900)
	driver.get("file://" + page)
	script = driver.execute_script
	text = script("return document.body.innerText")
	expect("owned" not in driver.title, "no text of the wire ran as a script")
	expect(script("return document.querySelectorAll('script,img,svg[onload],link,base,a[href^=javascript],iframe').length")
		== 0, "no text of the wire became an element")
	expect(script("return performance.getEntriesByType('resource').length") == 0, "the page loads nothing")
	expect(driver.get_log("browser") == [], "the browser has nothing to complain of")
	expect("<script>" in text and "<b>sensor</b>" in text, "hostile names stand there as text")
	expect("\u202e" not in text, "no character turns the direction of the text")

	tiles = {tile.find_element("tag name", "span").text: int(tile.find_element("tag name", "b").text)
		for tile in driver.find_elements("css selector", ".tile")}
	grave = [a for a in alerts if a["log"]["level"] in ("error", "critical")]
	mails = [s for s in sessions if s["smtp"]["plaintext"]["mails"] > 0]
	for label, count in (("sessions on mail ports", len(sessions)), ("with mail in the clear", len(mails)),
		("high and critical alerts", len(grave))):
		expect(tiles.get(label) == count, f"the tile '{label}' says {count}")
	for rule in sorted({a["rule"]["id"] for a in alerts}):
		expect(rule in text, f"{rule} is told")

	details = driver.find_elements("css selector", "details")
	expect(len(details) == len(alerts), f"every alert has its evidence: {len(alerts)}")
	before = len(script("return document.body.innerText"))
	details[0].find_element("tag name", "summary").click()
	opened = script("return document.body.innerText")
	expect(len(opened) > before and "[redacted]" in opened + driver.page_source,
		"a click opens the redacted dialogue")
	for width in (1280, 390):
		driver.set_window_size(width, 900)
		expect(script("return document.documentElement.scrollWidth <= innerWidth"),
			f"{width} pixels wide: nothing to scroll sideways")
		expect(script("return [...document.querySelectorAll('section')].filter(s => s.querySelector('.bar') "
			"&& s.scrollWidth > s.clientWidth + 1).length") == 0, f"{width} pixels wide: charts fit")


if __name__ == "__main__":
	sys.exit(main())
