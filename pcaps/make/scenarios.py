# SPDX-License-Identifier: Apache-2.0
"""What is played, and what a passive sensor has to say of it.

Each scenario names its software, the vector of the proxy, how it is played, and
the facts of each session on the client's tap (and, where they differ and matter,
on the server's). The facts are reasoned from what the programs and the proxy did.
A path that is left out is not judged. `history` names rules that only
the memory of earlier sessions can add to those of the session itself.
"""

from dataclasses import dataclass
from typing import Callable, Optional

from servers import ACCOUNT, PASSWORD

MX1, NOTLS, TLS12, EXPIRED, WRONGNAME, WEAKKEY = ("198.51.100.25", "198.51.100.30", "tls12.example.test",
	"expired.example.test", "wrongname.example.test", "weakkey.example.test")
ANON, AUTH, AUTHTLS, SHA1, SELFSIGNED, TLS10 = ("198.51.100.35", "198.51.100.36", "198.51.100.37",
	"sha1.example.test", "selfsigned.example.test", "tls10.example.test")
WRAPPED, MUSTTLS, BROKEN, ECKEY = "wrapped.example.test", "198.51.100.42", "198.51.100.44", "eckey.example.test"
EXIM, OPENSMTPD, TOY, EXIM_VARIANT = "198.51.100.26", "198.51.100.27", "198.51.100.28", "198.51.100.29"
MX1_V6 = "2001:db8:2::25"
CREDENTIALS = ("--account", ACCOUNT, "--password", PASSWORD)
SWAKS_CREDENTIALS = ("--auth-user", ACCOUNT, "--auth-password", PASSWORD)


@dataclass
class Scenario:
	name: str
	software: str
	what: str
	play: Callable
	client_tap: Optional[list]
	vector: Optional[str] = None
	server_tap: Optional[list] = None
	tls12: bool = False


def facts(outcome, offered=None, requested=None, reply=None, masked=False, established=False, version=None,
		mails=0, accepted=0, auth=None, alerts=(), visibility="full", **more):
	out = {
		"stripwatch.outcome": outcome,
		"smtp.starttls.offered": offered,
		"smtp.starttls.requested": requested,
		"smtp.starttls.reply_code": reply,
		"smtp.starttls.masked": masked,
		"tls.established": established,
		"tls.version": version,
		"smtp.plaintext.mails": mails,
		"smtp.plaintext.accepted": accepted,
		"smtp.plaintext.auth": auth,
		"stripwatch.visibility": visibility,
		"stripwatch.alerts": sorted(alerts),
	}
	out.update(more)
	return out


def upgraded(version="1.3", alerts=(), **more):
	return facts("upgraded", True, True, 220, established=True, version=version, alerts=alerts, **more)


def upgrade_failed(alerts=("tls-handshake-failed",), version=None, **more):
	return facts("upgrade-failed", True, True, 220, version=version, alerts=alerts, **more)


def clear(outcome, offered, alerts=(), mails=1, accepted=1, **more):
	"""A session that delivered in the clear."""
	return facts(outcome, offered, more.pop("requested", False), mails=mails, accepted=accepted,
		alerts=("plaintext-mail", *alerts), **more)


def not_offered(alerts=(), **more):
	return clear("not-offered", False, alerts, **more)


def not_used(alerts=("starttls-ignored",), **more):
	return clear("not-used", True, alerts, **more)


def refused(reply, **more):
	"""Refused although offered, then delivered in the clear in the same session."""
	return clear("refused", True, ("starttls-refused", "plaintext-fallback"), requested=True, reply=reply, **more)


def masked(**more):
	return clear("masked", False, ("starttls-masked",), masked=True, **more)


def implicit(version="1.3", alerts=(), **more):
	return {"stripwatch.outcome": "implicit-tls", "tls.established": True, "tls.version": version,
		"smtp.plaintext.mails": 0, "smtp.plaintext.accepted": 0, "smtp.plaintext.auth": None,
		"stripwatch.visibility": "full", "stripwatch.alerts": sorted(alerts), **more}


SCENARIOS = []


def add(name, software, what, play, client_tap, **more):
	SCENARIOS.append(Scenario(name, software, what, play, client_tap, **more))


# ---------------------------------------------------------------------------
# Straight, without a proxy

add("straight-postfix-swaks", "Postfix server, swaks", "STARTTLS, TLS 1.3",
	lambda l: l.swaks(MX1, "-tls"), [upgraded()], server_tap=[upgraded()])
add("straight-postfix-curl", "Postfix server, curl", "STARTTLS, TLS 1.3",
	lambda l: l.curl("smtp://mx1.example.test", "--ssl-reqd", "--cacert", "/lab/ca.crt"), [upgraded()])
add("straight-postfix-msmtp", "Postfix server, msmtp (GnuTLS)", "STARTTLS, TLS 1.3",
	lambda l: l.msmtp("mx1.example.test", "--tls=on", "--tls-starttls=on", "--tls-trust-file=/lab/ca.crt"),
	[upgraded()])
add("straight-postfix-python", "Postfix server, Python smtplib", "STARTTLS, TLS 1.3",
	lambda l: l.python(MX1, "--tls", "try"), [upgraded()])
add("straight-postfix-s_client", "Postfix server, openssl s_client", "STARTTLS, TLS 1.3",
	lambda l: l.s_client(MX1, "-starttls", "smtp"), [upgraded()])
add("straight-postfix-postfix", "Postfix server, Postfix client", "STARTTLS, TLS 1.3",
	lambda l: l.send_postfix("rcpt@may.25.example.test"), [upgraded()])
add("straight-postfix-exim", "Postfix server, Exim client (GnuTLS)", "STARTTLS, TLS 1.3",
	lambda l: l.send_exim(25), [upgraded()])
add("straight-exim-swaks", "Exim server (GnuTLS), swaks", "STARTTLS, TLS 1.3",
	lambda l: l.swaks(EXIM, "-tls"), [upgraded()])
add("straight-exim-curl", "Exim server (GnuTLS), curl", "STARTTLS, TLS 1.3",
	lambda l: l.curl("smtp://mx2.example.test", "--ssl-reqd", "--cacert", "/lab/ca.crt"), [upgraded()])
add("straight-exim-msmtp", "Exim server, msmtp (both GnuTLS)", "STARTTLS, TLS 1.3",
	lambda l: l.msmtp("mx2.example.test", "--tls=on", "--tls-starttls=on", "--tls-trust-file=/lab/ca.crt"),
	[upgraded()])
add("straight-exim-python", "Exim server, Python smtplib", "STARTTLS, TLS 1.3",
	lambda l: l.python(EXIM, "--tls", "try"), [upgraded()])
add("straight-exim-s_client", "Exim server, openssl s_client", "STARTTLS, TLS 1.3",
	lambda l: l.s_client(EXIM, "-starttls", "smtp"), [upgraded()])
add("straight-exim-postfix", "Exim server, Postfix client", "STARTTLS, TLS 1.3",
	lambda l: l.send_postfix("rcpt@may.26.example.test"), [upgraded()])
add("straight-exim-exim", "Exim server, Exim client", "STARTTLS, TLS 1.3",
	lambda l: l.send_exim(26), [upgraded()])
# OpenSMTPD 6.8.0p2 out of its package, in a bare root, fails in its key process and ends
# each handshake with internal_error: real upgrade failures. Under TLS 1.3 that alert is
# protected, and the client never sends a protected record.
add("opensmtpd-failing-swaks", "OpenSMTPD server, swaks", "220, then the server breaks the handshake off",
	lambda l: l.swaks(OPENSMTPD, "-tls"), [upgrade_failed(version="1.3")])
add("opensmtpd-failing-curl", "OpenSMTPD server, curl", "220, then the server breaks the handshake off",
	lambda l: l.curl("smtp://mx3.example.test", "--ssl-reqd", "--insecure"), [upgrade_failed(version="1.3")])
add("opensmtpd-failing-python", "OpenSMTPD server, Python smtplib", "220, then the server breaks the handshake off, on 587",
	lambda l: l.python(OPENSMTPD, "--tls", "must", port=587), [upgrade_failed(version="1.3")])
add("opensmtpd-failing-postfix", "OpenSMTPD server, Postfix client", "220, then the server breaks the handshake off",
	lambda l: l.send_postfix("rcpt@may.27.example.test"), [upgrade_failed(version="1.3")])
add("opensmtpd-failing-exim", "OpenSMTPD server, Exim client", "the handshake fails; Exim delivers in the clear on a new connection",
	lambda l: l.send_exim(27), [upgrade_failed(version="1.3"), not_used(history=["plaintext-fallback"])])
add("straight-ipv6", "Postfix server, Python smtplib", "STARTTLS over IPv6",
	lambda l: l.python(MX1_V6, "--tls", "try"), [upgraded()])
add("straight-ipv6-postfix", "Postfix server, Postfix client", "STARTTLS over IPv6",
	lambda l: l.send_postfix("rcpt@may.6.example.test"), [upgraded()])
add("straight-submission", "Postfix server, msmtp", "STARTTLS and AUTH inside TLS on 587",
	lambda l: l.client("msmtp", "--file=/lab/msmtprc", "rcpt@example.test", stdin=l.message), [upgraded()])
# The client does not ask
add("clear-swaks", "Postfix server, swaks", "offered, not asked for, mail in the clear",
	lambda l: l.swaks(MX1), [not_used()])
add("clear-exim-chunking", "Exim server, Exim client", "offered, TLS avoided, BDAT in the clear",
	lambda l: l.send_exim(26, settings="hosts_avoid_tls = *"), [not_used()])
add("clear-postfix-pipelining", "Postfix server, Postfix client", "offered, TLS switched off, pipelined mail",
	lambda l: l.send_postfix("rcpt@none.25.example.test"), [not_used()])
add("clear-opensmtpd", "OpenSMTPD server, swaks", "offered, not asked for, mail in the clear",
	lambda l: l.swaks(OPENSMTPD), [not_used()])
add("clear-several-mails", "Postfix server, Python smtplib", "three mails in one session in the clear",
	lambda l: l.python(MX1, "--mails", "3"), [not_used(mails=3, accepted=3)])
add("clear-notls", "Postfix server without TLS, swaks -tlso", "never offered: no attack is proven by one session",
	lambda l: l.swaks(NOTLS, "-tlso"), [not_offered()])
add("clear-notls-postfix", "Postfix server without TLS, Postfix client", "never offered",
	lambda l: l.send_postfix("rcpt@may.30.example.test"), [not_offered()])
add("clear-ehlo-quit", "Postfix server, swaks", "EHLO and QUIT: nothing went in the clear",
	lambda l: l.swaks(MX1, "--quit-after", "EHLO"),
	[facts("not-used", True, False)])
add("clear-helo", "Postfix server, Postfix client", "HELO by the client's own choice",
	lambda l: l.send_postfix("rcpt@helo.25.example.test"),
	[facts("helo-only", None, False, masked=None, mails=1, accepted=1, alerts=["plaintext-mail"])])
add("clear-530", "Postfix server that demands TLS, swaks", "MAIL in the clear is refused with 530",
	lambda l: l.swaks(MUSTTLS), [not_used(alerts=(), accepted=0)])
add("clear-connect-quit", "Postfix server, a script", "greeting and QUIT, no EHLO",
	lambda l: l.raw(MX1, r"<|QUIT\r\n|<"),
	[facts("no-dialogue", None, False, masked=None)])
add("server-broken-key", "Postfix server without its key file, swaks -tlso",
	"the server itself refuses with 454: offered, refused, mail in the clear",
	lambda l: l.swaks(BROKEN, "-tlso"), [refused(454)])
add("picky-server", "Postfix server, Postfix client from 192.0.2.11",
	"a server that by policy does not offer STARTTLS to one client",
	lambda l: l.send_postfix("rcpt@second.45.example.test"), [not_offered()])

# Credentials in the clear
for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
	add(f"auth-clear-{mechanism.lower()}", "Postfix server, swaks", f"AUTH {mechanism} in the clear, offer ignored",
		lambda l, m=mechanism: l.swaks(AUTH, "--auth", m, *SWAKS_CREDENTIALS, port=587),
		[not_used(("starttls-ignored", "plaintext-credentials"), auth=mechanism)])
add("auth-clear-exim", "Exim server, Python smtplib", "AUTH LOGIN in the clear",
	lambda l: l.python(EXIM, "--auth", "LOGIN", *CREDENTIALS, port=587),
	[not_used(("starttls-ignored", "plaintext-credentials"), auth="LOGIN")])
add("auth-clear-cancelled", "Postfix server, a script", "AUTH LOGIN given up with `*`: no byte of a credential",
	lambda l: l.raw(AUTH, r"<|EHLO client.example.test\r\n|<|AUTH LOGIN\r\n|<|*\r\n|<|QUIT\r\n|<"),
	[facts("not-used", True, False, auth="LOGIN")])
add("auth-tls-only", "Postfix server, a script", "AUTH before STARTTLS is refused without a look at it",
	lambda l: l.raw(AUTHTLS, r"<|EHLO client.example.test\r\n|<|AUTH LOGIN\r\n|<|QUIT\r\n|<", port=587),
	[facts("not-used", True, False, auth="LOGIN")])

# TLS 1.2, certificates, sessions
add("tls12-swaks", "Postfix server with TLS 1.2, swaks", "STARTTLS, TLS 1.2, the certificate is visible and good",
	lambda l: l.swaks(TLS12, "-tls"), [upgraded("1.2")])
add("tls12-postfix", "Postfix server with TLS 1.2, Postfix client",
	"STARTTLS, TLS 1.2: an opportunistic Postfix client offers anonymous suites, and one is chosen",
	lambda l: l.send_postfix("rcpt@may.31.example.test"), [upgraded("1.2", ("tls-weak",))])
add("tls12-exim", "Postfix server with TLS 1.2, Exim client", "STARTTLS, TLS 1.2",
	lambda l: l.send_exim(31), [upgraded("1.2")])
add("tls12-ecdsa", "Postfix server with an ECDSA key, swaks", "STARTTLS, TLS 1.2, P-256",
	lambda l: l.swaks(ECKEY, "-tls"), [upgraded("1.2")])
add("tls12-resumed", "Postfix server, openssl s_client -reconnect", "a TLS 1.2 session resumed five times: no certificate is seen again",
	lambda l: l.s_client(TLS12, "-starttls", "smtp", "-tls1_2", "-reconnect"),
	[upgraded("1.2")] * 6)
add("tls13-resumed", "Postfix server, Postfix client twice", "TLS 1.3, the second by a ticket",
	lambda l: [l.send_postfix("rcpt@may.25.example.test"), l.send_postfix("rcpt@may.25.example.test")],
	[upgraded(), upgraded()])
add("cert-expired", "Postfix server, swaks", "an expired certificate, taken all the same",
	lambda l: l.swaks(EXPIRED, "-tls"), [upgraded("1.2", ["certificate-invalid"])])
add("cert-expired-submission", "Postfix server, swaks", "an expired certificate on 587",
	lambda l: l.swaks(EXPIRED, "-tls", port=587), [upgraded("1.2", ["certificate-invalid"])])
add("cert-wrong-name", "Postfix server, swaks", "a certificate for another host",
	lambda l: l.swaks(WRONGNAME, "-tls"), [upgraded("1.2", ["certificate-invalid"])])
add("cert-weak-key", "Postfix server, swaks", "an RSA key of 1024 bits",
	lambda l: l.swaks(WEAKKEY, "-tls", "--tls-cipher", "ALL:@SECLEVEL=0"),
	[upgraded("1.2", ["certificate-invalid"])])
add("cert-sha1", "Postfix server, swaks", "a certificate signed with SHA-1",
	lambda l: l.swaks(SHA1, "-tls", "--tls-cipher", "ALL:@SECLEVEL=0"),
	[upgraded("1.2", ["certificate-invalid"])])
add("cert-self-signed", "Postfix server, swaks", "self-signed: no alert without a CA to judge by",
	lambda l: l.swaks(SELFSIGNED, "-tls"), [upgraded("1.2")])
add("reject-tls12", "Postfix server with TLS 1.2, Python with another CA", "the client rejects the certificate, alert in the clear",
	lambda l: l.python(TLS12, "--tls", "must", "--ca", "/lab/forgedca.crt"), [upgrade_failed(version="1.2")])
add("reject-tls13", "Postfix server, Python with another CA", "the client rejects the certificate, alert protected (19 bytes)",
	lambda l: l.python("mx1.example.test", "--tls", "must", "--ca", "/lab/forgedca.crt"),
	[upgrade_failed(version="1.3")])
add("reject-curl", "Postfix server, curl with another CA", "the client rejects the certificate under TLS 1.3",
	lambda l: l.curl("smtp://mx1.example.test", "--ssl-reqd", "--cacert", "/lab/forgedca.crt"),
	[upgrade_failed(version="1.3")])
add("version-mismatch", "Postfix server with TLS 1.2, openssl s_client -tls1_3", "no common version: the server sends an alert",
	lambda l: l.s_client(TLS12, "-starttls", "smtp", "-tls1_3"), [upgrade_failed()])
add("fallback-scsv", "Postfix server, openssl s_client -fallback_scsv", "TLS_FALLBACK_SCSV met by inappropriate_fallback",
	lambda l: l.s_client(MX1, "-starttls", "smtp", "-fallback_scsv", "-tls1_2"),
	[upgrade_failed(("tls-handshake-failed", "tls-downgrade"))])
add("weak-tls10", "Postfix server with TLS 1.0, Postfix client", "TLS 1.0",
	lambda l: l.send_postfix("rcpt@old.40.example.test"), [upgraded("1.0", ["tls-weak"])])
add("weak-anonymous", "Postfix server without a certificate, Postfix client", "an anonymous suite (TLS 1.2)",
	lambda l: l.send_postfix("rcpt@may.35.example.test"), [upgraded("1.2", ["tls-weak"])])


def gnutls_pair(server, client):
	def play(lab):
		lab.exim_with(server)
		lab.msmtp(EXIM_VARIANT, "--tls=on", "--tls-starttls=on", "--tls-certcheck=off", f"--tls-priorities={client}")
		lab.exim_with(None)
	return play


for _name, _version, _what, _priorities in (
		("weak-tls11", "1.1", "TLS 1.1", "NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT"),
		("weak-3des", "1.2", "3DES under TLS 1.2", "NONE:+VERS-TLS1.2:+RSA:+ECDHE-RSA:+3DES-CBC:+SHA1:+COMP-NULL:+SIGN-ALL:+GROUP-ALL:+CTYPE-X509"),
		("weak-rc4", "1.2", "RC4 under TLS 1.2", "NONE:+VERS-TLS1.2:+RSA:+ECDHE-RSA:+ARCFOUR-128:+SHA1:+COMP-NULL:+SIGN-ALL:+GROUP-ALL:+CTYPE-X509"),
		("weak-null", "1.2", "a NULL suite under TLS 1.2", "NONE:+VERS-TLS1.2:+RSA:+NULL:+SHA256:+SHA1:+COMP-NULL:+SIGN-ALL:+GROUP-ALL:+CTYPE-X509")):
	add(_name, "Exim server, msmtp (both GnuTLS)", _what, gnutls_pair(_priorities, _priorities),
		[upgraded(_version, ["tls-weak"],
			why="msmtp sends the server's address as SNI; RFC 6066 section 3 permits no literal addresses there, so "
			"the host names given by the server count, and match")])

# Implicit TLS, other things
add("implicit-587", "Postfix server, openssl s_client", "TLS from the first byte on 587",
	lambda l: l.s_client(WRAPPED, port=587), [implicit()])
add("implicit-25", "Postfix server, Python SMTP_SSL", "TLS from the first byte on 25",
	lambda l: l.python(WRAPPED, "--implicit"), [implicit()])
add("implicit-s_server", "openssl s_server with TLS 1.0 and SECLEVEL=0, openssl s_client", "old TLS from the first byte",
	lambda l: s_server_pair(l), [implicit("1.0", ["tls-weak"])])
add("not-smtp-http", "Python http.server on port 25, curl", "HTTP on a mail port",
	lambda l: http_on_25(l), [{"stripwatch.outcome": "not-smtp", "stripwatch.alerts": []}])
add("foreign-client", "Postfix server, curl speaking HTTP", "a foreign client at an SMTP server",
	lambda l: l.client("curl", "-sS", "-m", "3", "http://198.51.100.25:25/"),
	[{"stripwatch.outcome": "no-dialogue", "stripwatch.alerts": [], "smtp.plaintext.mails": 0}])
add("lmtp", "Postfix smtp-sink -L, swaks", "LMTP (LHLO) on port 25",
	lambda l: lmtp_sink(l), [not_offered()])
add("never-answered", "no server", "a SYN that is answered with RST: no payload, no record",
	lambda l: l.raw("198.51.100.59", "<"), [None])


def s_server_pair(lab):
	process = lab.s_server("-cert", "/lab/mx4.pem", "-tls1", "-cipher", "ALL:@SECLEVEL=0")
	lab.s_client(TOY, "-tls1", "-cipher", "ALL:@SECLEVEL=0")
	lab.net.stop(process)


def http_on_25(lab):
	process = lab.server_process("clients", "python3", "-m", "http.server", "25", "--bind", TOY, "--directory", "/lab")
	lab.client("curl", "-sS", "-m", "5", f"http://{TOY}:25/ca.crt")
	lab.net.stop(process)


def lmtp_sink(lab):
	process = lab.server_process("postfix", "/usr/sbin/smtp-sink", "-L", "-u", "nobody", f"{TOY}:25", "10")
	lab.swaks(TOY, "--protocol", "LMTP")
	lab.net.stop(process)


# ---------------------------------------------------------------------------
# Through the proxy, straight: the proxy itself is no finding

add("proxy-none", "Postfix server, swaks, the proxy passing everything", "the quiet twin of all below",
	lambda l: l.swaks(MX1, "-tls"), [upgraded()], vector="none", server_tap=[upgraded()])
add("proxy-none-clear", "Postfix server without TLS, swaks", "the quiet twin in the clear",
	lambda l: l.swaks(NOTLS), [not_offered()], vector="none")

# Vectors against the offer. On the server's side the offer is whole, and the
# client just seems not to use it.
SENDERS = {
	"swaks": lambda l: l.swaks(MX1, "-tlso"),
	"postfix": lambda l: l.send_postfix("rcpt@may.25.example.test"),
	"exim": lambda l: l.send_exim(25),
	"python": lambda l: l.python(MX1, "--tls", "try"),
	"curl": lambda l: l.curl("smtp://mx1.example.test", "--ssl"),
}
for _sender in ("swaks", "postfix", "exim", "python", "curl"):
	add(f"strip-{_sender}", f"Postfix server, {_sender}", "STARTTLS stripped out of the capabilities",
		SENDERS[_sender], [not_offered()], vector="strip", server_tap=[not_used()])
add("strip-exim-server", "Exim server, swaks", "STARTTLS stripped out of the capabilities",
	lambda l: l.swaks(EXIM, "-tlso"), [not_offered()], vector="strip", server_tap=[not_used()])
add("strip-opensmtpd-server", "OpenSMTPD server, swaks", "STARTTLS stripped out of the capabilities",
	lambda l: l.swaks(OPENSMTPD, "-tlso"), [not_offered()], vector="strip", server_tap=[not_used()])
add("strip-ipv6", "Postfix server, Python smtplib", "STARTTLS stripped, IPv6",
	lambda l: l.python(MX1_V6, "--tls", "try"), [not_offered()], vector="strip")
add("strip-strict-client", "Postfix server, Postfix client that must encrypt", "STARTTLS stripped; the client gives up",
	lambda l: l.send_postfix("rcpt@must.25.example.test"),
	[facts("not-offered", False, False)], vector="strip")
add("strip-auth", "Postfix server, swaks", "STARTTLS stripped on 587, credentials in the clear",
	lambda l: l.swaks(AUTH, "-tlso", "--auth", "PLAIN", *SWAKS_CREDENTIALS, port=587),
	[not_offered(["plaintext-credentials"], auth="PLAIN")], vector="strip")
add("strip-add-auth", "Postfix server without AUTH, swaks", "STARTTLS stripped and AUTH added to fish for credentials",
	lambda l: l.swaks(MX1, "-tlso", "--auth-optional", "LOGIN", *SWAKS_CREDENTIALS),
	[{"stripwatch.outcome": "not-offered", "smtp.starttls.offered": False, "smtp.plaintext.auth": "LOGIN",
		"tls.established": False, "smtp.plaintext.mails": 1, "smtp.plaintext.accepted": 1,
		"stripwatch.alerts": ["plaintext-mail"],
		"why": "the server answers AUTH with 503: no byte of a credential followed"}], vector="strip-add-auth")
for _vector in ("mask-x", "mask-xa", "mask-stars", "mask-cisco"):
	for _sender in ("swaks", "postfix") if _vector == "mask-xa" else ("swaks",):
		add(f"{_vector}-{_sender}", f"Postfix server, {_sender}", "the offer overwritten at its own length",
			SENDERS[_sender], [masked()], vector=_vector, server_tap=[not_used()])
_HELO = facts("helo-only", None, False, masked=None, mails=1, accepted=1, alerts=["plaintext-mail"],
	why="Postfix takes a banner of asterisks for a PIX and says HELO by itself (smtp_pix_workarounds)")
add("mask-cisco-postfix", "Postfix server, Postfix client", "banner of asterisks: the client never asks for extensions",
	SENDERS["postfix"], [_HELO], vector="mask-cisco", server_tap=[_HELO])
add("mask-cisco-exim", "Exim server, Exim client", "the offer overwritten, banner of asterisks",
	lambda l: l.send_exim(26), [masked()], vector="mask-cisco")
add("mask-xa-s_client", "Postfix server, openssl s_client", "the offer overwritten; the client asks all the same and is answered 500 by the device's doing",
	lambda l: l.s_client(MX1, "-starttls", "smtp"),
	[{"stripwatch.outcome": "refused", "smtp.starttls.offered": False, "smtp.starttls.masked": True,
		"smtp.starttls.requested": True, "tls.established": False, "smtp.plaintext.mails": 0}],
	vector="mask-cisco")
add("startfoo", "Postfix server, swaks", "the keyword flipped to STARTFOO: no shape gives it away",
	SENDERS["swaks"], [not_offered()], vector="startfoo", server_tap=[not_used()])

# Vectors against the command
add("mask-command", "Postfix server, swaks", "the command overwritten in transit, the server answers 500",
	SENDERS["swaks"], [refused(500)], vector="mask-command",
	server_tap=[clear("masked", True, ("starttls-masked",), requested=None)])
add("startfoo-command", "Postfix server, swaks", "the command flipped to STARTFOO",
	SENDERS["swaks"], [refused(500)], vector="startfoo-command", server_tap=[not_used()])
for _code in (354, 454, 500, 501, 502, 530):
	for _sender in ("swaks", "postfix", "exim") if _code in (454, 502) else ("swaks",):
		add(f"refuse-{_code}-{_sender}", f"Postfix server, {_sender}", f"STARTTLS answered {_code} in the server's place",
			SENDERS[_sender], [refused(_code)], vector=f"refuse-{_code}",
			server_tap=[not_used()] if _sender == "swaks" else None)
add("refuse-norton", "Postfix server, swaks", "local refusal in the manner of Norton AntiVirus: 500 Unsupported command.",
	SENDERS["swaks"], [refused(500)], vector="refuse-norton", server_tap=[not_used()])
add("refuse-200", "Postfix server without TLS, swaks", "striptls: offer added, answered 200 STRIPTLS",
	lambda l: l.swaks(NOTLS, "-tlso"), [refused(200)], vector="refuse-200", server_tap=[not_offered()])
add("refuse-502-strict", "Postfix server, Python that must encrypt", "refused; the client gives up",
	lambda l: l.python(MX1, "--tls", "must"),
	[facts("refused", True, True, 502, alerts=["starttls-refused"])], vector="refuse-502")
for _sender in ("swaks", "python", "exim"):
	add(f"refuse-ehlo-{_sender}", f"Postfix server, {_sender}", "EHLO refused to force HELO",
		SENDERS[_sender],
		[facts("helo-only", None, False, masked=None, mails=1, accepted=1, alerts=["ehlo-refused", "plaintext-mail"])],
		vector="refuse-ehlo",
		server_tap=[facts("helo-only", None, False, masked=None, mails=1, accepted=1, alerts=["plaintext-mail"])]
		if _sender == "swaks" else None)
add("close-starttls", "Postfix server, swaks", "the connection closed at STARTTLS, no reply",
	SENDERS["swaks"], [facts("upgrade-failed", True, True, None)], vector="close-starttls")
add("reset-starttls", "Postfix server, swaks", "the connection reset at STARTTLS, no reply",
	SENDERS["swaks"], [facts("upgrade-failed", True, True, None)], vector="reset-starttls")

# Vectors at the boundary
add("inject-rset", "Postfix server, swaks", "RSET in the segment of STARTTLS (visible behind the proxy only)",
	lambda l: l.swaks(MX1, "-tls"), [upgraded()], vector="inject-rset", server_tap=[upgraded(alerts=["starttls-injection"])])
add("inject-mail", "Postfix server, swaks", "MAIL in the segment of STARTTLS; the server throws it away",
	lambda l: l.swaks(MX1, "-tls"), [upgraded()], vector="inject-mail", server_tap=[upgraded(alerts=["starttls-injection"])])
add("inject-rset-exim", "Exim server, swaks", "RSET in the segment of STARTTLS",
	lambda l: l.swaks(EXIM, "-tls"),
	[upgraded()], vector="inject-rset", server_tap=[upgraded(alerts=["starttls-injection"])])
add("inject-response-python", "Postfix server, Python smtplib", "two capability lines in the segment of the 220",
	lambda l: l.python(MX1, "--tls", "must"), [upgraded(alerts=["starttls-injection"])], vector="inject-response",
	server_tap=[upgraded()])
add("inject-response-curl", "Postfix server, curl", "two capability lines behind the 220; curl gives up",
	lambda l: l.curl("smtp://mx1.example.test", "--ssl-reqd", "--insecure"),
	[upgrade_failed(("starttls-injection", "tls-handshake-failed"))], vector="inject-response")

# Vectors against TLS
add("replace-serverhello-swaks", "Postfix server, swaks", "the ServerHello replaced by 454 in the clear",
	lambda l: l.swaks(MX1, "-tls"), [upgrade_failed(("plaintext-in-tls", "tls-handshake-failed"))],
	vector="replace-serverhello")
add("replace-serverhello-python", "Postfix server, Python smtplib", "the ServerHello replaced by 454 in the clear",
	lambda l: l.python(MX1, "--tls", "must"), [upgrade_failed(("plaintext-in-tls", "tls-handshake-failed"))],
	vector="replace-serverhello")
add("replace-appdata", "Postfix server, Python smtplib", "a protected record replaced by 454 in the clear",
	lambda l: l.python(MX1, "--tls", "must"), [upgraded(alerts=["plaintext-in-tls"])], vector="replace-appdata")
add("reset-clienthello-python", "Postfix server, Python smtplib", "reset at the ClientHello",
	lambda l: l.python(MX1, "--tls", "must"), [upgrade_failed()], vector="reset-clienthello")
add("reset-clienthello-exim", "Postfix server, Exim client", "reset at the ClientHello; Exim delivers in the clear on a new connection at once",
	lambda l: l.send_exim(25), [upgrade_failed(), not_used(history=["plaintext-fallback"])],
	vector="reset-clienthello")
add("drop-handshake", "Postfix server, Python smtplib with a timeout of 3 s", "everything after the 220 disappears",
	lambda l: l.python(MX1, "--tls", "must", "--timeout", "3"), [upgrade_failed()], vector="drop-handshake")
add("lower-version", "Postfix server, Python smtplib", "TLS 1.3 taken out of the ClientHello: the sentinel shows it",
	lambda l: l.python(MX1, "--tls", "must"),
	[upgrade_failed(("tls-downgrade", "tls-handshake-failed"), version="1.2")], vector="lower-version",
	server_tap=[upgrade_failed(version="1.2")])
add("intercept", "Postfix server, swaks", "TLS intercepted with a forged certificate, TLS 1.3: hidden from one session",
	lambda l: l.swaks(MX1, "-tls"), [upgraded()], vector="intercept", server_tap=[upgraded()])
add("intercept-tls12", "Postfix server, swaks", "TLS intercepted, TLS 1.2: the forged certificate is visible",
	lambda l: l.swaks(MX1, "-tls"), [upgraded("1.2")], vector="intercept", tls12=True, server_tap=[upgraded()])
add("inbound-proxy", "Postfix server, swaks", "TLS towards the server alone: the client's side is in the clear",
	SENDERS["swaks"], [not_offered()], vector="inbound-proxy", server_tap=[upgraded()])

# An attacker who adds forged segments in front of the true ones. The first version of
# the bytes is what the client acts upon, and what is kept.
add("forge-ehlo", "Postfix server, swaks", "a forged EHLO reply without STARTTLS in front of the true one",
	SENDERS["swaks"], [not_offered(["tcp-injection"])], vector="forge-ehlo", server_tap=[not_used()])
add("forge-starttls", "Postfix server, Python that must encrypt", "a forged 454 in front of the true 220; the client gives up",
	lambda l: l.python(MX1, "--tls", "must"),
	[facts("refused", True, True, 454, alerts=["starttls-refused", "tcp-injection"])], vector="forge-starttls")

# ---------------------------------------------------------------------------
# Sequences: what one session cannot prove. The alerts stated are those of each
# session alone; `history` names what the earlier sessions add.


def some_clients(lab):
	for _ in range(4):
		lab.send_postfix("rcpt@may.25.example.test")
	lab.set_vector("strip", only=["192.0.2.11"])
	lab.send_postfix("rcpt@second.25.example.test")
	lab.send_postfix("rcpt@may.25.example.test")


def all_clients(lab):
	for client in ("may", "second", "may", "second"):
		lab.send_postfix(f"rcpt@{client}.25.example.test")
	lab.set_vector("strip")
	for client in ("may", "second"):
		lab.send_postfix(f"rcpt@{client}.25.example.test")


def quiet_clients(lab):
	for client in ("may", "second", "may", "second", "may", "second"):
		lab.send_postfix(f"rcpt@{client}.25.example.test")


def postfix_fallback(lab):
	# The first failure defers the message; once it is older than minimal_backoff_time
	# (3 s here, 300 s by default) a failure is followed by a connection in the clear.
	lab.send_postfix("rcpt@fallback.25.example.test", deliveries=2, timeout=40)


def new_certificate(other):
	def play(lab):
		for _ in range(3):
			lab.swaks(TLS12, "-tls")
		lab.change_certificate("tls12", other)
		lab.swaks(TLS12, "-tls")
		lab.change_certificate("tls12", "tls12")
	return play


add("sequences/stripped-some-clients", "Postfix server, Postfix client", "the proxy strips STARTTLS for 192.0.2.11 alone",
	some_clients, [upgraded()] * 4 + [not_offered(history=["starttls-stripped"]), upgraded()], vector="none")
add("sequences/stripped-all-clients", "Postfix server, Postfix client", "the proxy strips STARTTLS for everybody, later on",
	all_clients, [upgraded()] * 4 + [not_offered(history=["starttls-stripped"])] * 2, vector="none")
add("sequences/quiet", "Postfix server, Postfix client", "the quiet twin of both",
	quiet_clients, [upgraded()] * 6, vector="none")
add("sequences/fallback-postfix", "Postfix server, Postfix client", "handshakes reset; Postfix falls back to the clear",
	postfix_fallback, [upgrade_failed(), upgrade_failed(), not_used(history=["plaintext-fallback"])],
	vector="reset-clienthello")
add("sequences/certificate-renewed", "Postfix server, swaks", "a new key and dates by the same issuer",
	new_certificate("tls12-renewed"), [upgraded("1.2")] * 4)
add("sequences/certificate-replaced", "Postfix server, swaks", "a new key by another issuer, same name",
	new_certificate("tls12-replaced"), [upgraded("1.2")] * 3 + [upgraded("1.2", history=["certificate-changed"])])


def lower_version(server):
	"""A server that is set up anew for less than its client would take."""
	modern = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-TLS1.1:%COMPAT"

	def play(lab):
		for priorities, times in ((modern, 3), (server, 1)):
			lab.exim_with(priorities)
			for _ in range(times):
				lab.msmtp(EXIM_VARIANT, "--tls=on", "--tls-starttls=on", "--tls-certcheck=off", f"--tls-priorities={modern}")
		lab.exim_with(None)
	return play


add("sequences/version-regression", "Exim server, msmtp (both GnuTLS)", "TLS 1.3, later TLS 1.1 although the client offers 1.3",
	lower_version("NORMAL:-VERS-ALL:+VERS-TLS1.1:%COMPAT"), [upgraded()] * 3 + [upgraded("1.1", ["tls-weak"])])
add("sequences/version-lower", "Exim server, msmtp (both GnuTLS)", "its quiet twin: TLS 1.3, later 1.2, which is not weak",
	lower_version("NORMAL:-VERS-ALL:+VERS-TLS1.2:%COMPAT"), [upgraded()] * 3 + [upgraded("1.2")])
