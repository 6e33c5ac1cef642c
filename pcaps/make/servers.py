# SPDX-License-Identifier: Apache-2.0
"""The laboratory's certificates, mail servers and sending clients.

Every program runs out of a root directory that fetch-servers.sh unpacked, in the
namespace `server` or `client` of netlab.py. One Postfix plays many servers: its
master.cf gives each address a listener with settings of its own (SERVERS below).
Whatever a server accepts it throws away.

The only credentials are made up: ACCOUNT and PASSWORD.
"""

import os
import re
import shutil
import subprocess
import time

ACCOUNT = "scanner@example.test"
PASSWORD = "not-a-secret-Pa55"

# Listeners of the one Postfix: last octet of the address -> host name, ports,
# certificate (a name out of CERTIFICATES) and settings of smtpd.
SERVERS = {
	25: ("mx1", (25, 587), "mx1", {}),
	30: ("notls", (25, 587), None, {"smtpd_tls_security_level": "none"}),
	31: ("tls12", (25, 587), "tls12", {"smtpd_tls_protocols": "TLSv1.2"}),
	32: ("expired", (25, 587), "expired", {"smtpd_tls_protocols": "TLSv1.2"}),
	33: ("wrongname", (25,), "elsewhere", {"smtpd_tls_protocols": "TLSv1.2"}),
	34: ("weakkey", (25,), "weakkey", {"smtpd_tls_protocols": "TLSv1.2"}),
	35: ("anon", (25,), None, {"smtpd_tls_protocols": "TLSv1.2", "smtpd_tls_security_level": "may",
		"smtpd_tls_cert_file": "none"}),
	36: ("auth", (25, 587), "auth", {"smtpd_sasl_auth_enable": "yes", "smtpd_tls_auth_only": "no"}),
	37: ("authtls", (587,), "authtls", {"smtpd_sasl_auth_enable": "yes", "smtpd_tls_auth_only": "yes"}),
	38: ("sha1", (25,), "sha1", {"smtpd_tls_protocols": "TLSv1.2"}),
	39: ("selfsigned", (25,), "selfsigned", {"smtpd_tls_protocols": "TLSv1.2"}),
	40: ("tls10", (25,), "tls10", {"smtpd_tls_protocols": "TLSv1", "tls_legacy": "yes"}),
	41: ("wrapped", (25, 465, 587), "wrapped", {"smtpd_tls_wrappermode": "yes"}),
	42: ("musttls", (25, 587), "musttls", {"smtpd_tls_security_level": "encrypt"}),
	44: ("broken", (25,), "missing", {}),
	45: ("picky", (25,), "picky", {"smtpd_discard_ehlo_keyword_address_maps": "inline:{192.0.2.11=starttls}"}),
	46: ("eckey", (25,), "eckey", {"smtpd_tls_protocols": "TLSv1.2"}),
}


def address(octet):
	return f"198.51.100.{octet}"


# name -> (host name, key, digest, start, end, signer)
YEARS = ("20260101000000Z", "20360101000000Z")
CERTIFICATES = {
	"ca": ("Laboratory CA", "rsa:2048", "sha256", *YEARS, None),
	"forgedca": ("Interceptor CA", "rsa:2048", "sha256", *YEARS, None),
	"expired": ("expired", "rsa:2048", "sha256", "20240101000000Z", "20250101000000Z", "ca"),
	"elsewhere": ("elsewhere", "rsa:2048", "sha256", *YEARS, "ca"),
	"weakkey": ("weakkey", "rsa:1024", "sha256", *YEARS, "ca"),
	"sha1": ("sha1", "rsa:2048", "sha1", *YEARS, "ca"),
	"selfsigned": ("selfsigned", "rsa:2048", "sha256", *YEARS, None),
	"eckey": ("eckey", "ec:prime256v1", "sha256", *YEARS, "ca"),
	"forged": ("mx1", "rsa:2048", "sha256", *YEARS, "forgedca"),
	"tls12-renewed": ("tls12", "rsa:2048", "sha256", "20261001000000Z", "20370101000000Z", "ca"),
	"tls12-replaced": ("tls12", "rsa:2048", "sha256", *YEARS, "forgedca"),
}
for _name in ("mx1", "mx2", "mx3", "mx4", "tls12", "auth", "authtls", "tls10", "wrapped", "musttls", "picky"):
	CERTIFICATES[_name] = (_name, "rsa:2048", "sha256", *YEARS, "ca")


def make_certificates(root, directory):
	"""Into directory (below the root `root`, seen there as /lab): NAME.pem, key and
	certificate in one file, and NAME.crt."""
	inside = "/" + os.path.relpath(directory, root)

	def openssl(*arguments):
		subprocess.run(["chroot", root, "openssl", *arguments], check=True, capture_output=True,
			env={"PATH": "/usr/sbin:/usr/bin", "OPENSSL_CONF": f"{inside}/openssl.cnf"})

	with open(f"{directory}/openssl.cnf", "w", encoding="ascii") as conf:
		conf.write(f"""
[req]
distinguished_name = dn
[dn]
[ca]
default_ca = lab
[lab]
database = {inside}/index.txt
serial = {inside}/serial
new_certs_dir = {inside}
policy = any
unique_subject = no
[any]
commonName = supplied
organizationName = optional
""")
	with open(f"{directory}/index.txt", "w", encoding="ascii"):
		pass
	with open(f"{directory}/serial", "w", encoding="ascii") as serial:
		serial.write("1000\n")
	for name, (host, key, digest, start, end, signer) in CERTIFICATES.items():
		kind, _, size = key.partition(":")
		base = f"{inside}/{name}"
		if kind == "rsa":
			openssl("genrsa", "-out", f"{base}.key", size)
		else:
			openssl("ecparam", "-genkey", "-name", size, "-noout", "-out", f"{base}.key")
		is_ca = name.endswith("ca")
		common = host if is_ca else f"{host}.example.test"
		with open(f"{directory}/ext.cnf", "w", encoding="ascii") as ext:
			ext.write("basicConstraints=critical,CA:TRUE\n" if is_ca else
				f"basicConstraints=CA:FALSE\nsubjectAltName=DNS:{common}\n")
		openssl("req", "-new", "-key", f"{base}.key", "-subj", f"/O=Laboratory/CN={common}", "-out", f"{base}.csr")
		arguments = ["ca", "-batch", "-notext", "-md", digest, "-in", f"{base}.csr", "-out", f"{base}.crt",
			"-startdate", start, "-enddate", end, "-extfile", f"{inside}/ext.cnf"]
		if signer:
			arguments += ["-cert", f"{inside}/{signer}.crt", "-keyfile", f"{inside}/{signer}.key"]
		else:
			arguments += ["-selfsign", "-keyfile", f"{base}.key"]
		openssl(*arguments)
		with open(f"{directory}/{name}.pem", "w", encoding="ascii") as out:
			for part in ("key", "crt"):
				with open(f"{directory}/{name}.{part}", encoding="ascii") as piece:
					out.write(piece.read())
	for leftover in os.listdir(directory):
		if not leftover.endswith((".pem", ".crt")):
			os.unlink(f"{directory}/{leftover}")


def write(path, text, mode=0o644):
	os.makedirs(os.path.dirname(path), exist_ok=True)
	with open(path, "w", encoding="ascii") as file:
		file.write(text)
	os.chmod(path, mode)


def write_hosts(root, extra=()):
	hosts = {address(octet): f"{server[0]}.example.test" for octet, server in SERVERS.items()}
	hosts.update({address(26): "mx2.example.test", address(27): "mx3.example.test",
		address(28): "mx4.example.test", "2001:db8:2::25": "mx1.example.test",
		"192.0.2.10": "client.example.test", "192.0.2.11": "client2.example.test",
		"192.0.2.12": "client3.example.test", "2001:db8:1::10": "client6.example.test"})
	hosts.update(extra)
	write(f"{root}/etc/hosts", "127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for a, n in hosts.items()))


# ---------------------------------------------------------------------------
# Postfix

POSTFIX_COMMON = """
compatibility_level = 3.6
maillog_file = /var/log/{instance}.log
queue_directory = /var/spool/{instance}
data_directory = /var/lib/{instance}
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
mydestination =
alias_maps =
alias_database =
inet_protocols = all
smtputf8_enable = no
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_address_preference = ipv4
default_destination_concurrency_limit = 20
"""

MASTER_COMMON = """
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
showq unix n - n - - showq
"""


def postfix_directories(root, instance):
	def make(path, mode, owner, group):
		os.makedirs(path, exist_ok=True)
		os.chown(path, owner, group)
		os.chmod(path, mode)
	postfix, postdrop = 101, 102
	queue = f"{root}/var/spool/{instance}"
	shutil.rmtree(queue, ignore_errors=True)
	make(queue, 0o755, 0, 0)
	for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
			"saved", "trace"):
		make(f"{queue}/{name}", 0o700, postfix, postfix)
	make(f"{queue}/maildrop", 0o1730, postfix, postdrop)
	make(f"{queue}/public", 0o2710, postfix, postdrop)
	make(f"{queue}/pid", 0o755, 0, 0)
	make(f"{root}/var/lib/{instance}", 0o755, postfix, postfix)
	log = f"{root}/var/log/{instance}.log"
	if os.path.exists(log):
		os.unlink(log)


def start_postfix(net, root, logs):
	"""The server side: every listener of SERVERS."""
	instance = "postfix-server"
	config = f"{root}/etc/{instance}"
	postfix_directories(root, instance)
	write(f"{config}/main.cf", POSTFIX_COMMON.format(instance=instance) + """
myhostname = mx1.example.test
smtpd_banner = $myhostname ESMTP Postfix
mynetworks = 192.0.2.0/24 [2001:db8:1::]/64
smtpd_relay_restrictions = permit_mynetworks, reject
default_transport = discard:
relay_transport = discard:
local_transport = discard:
smtpd_tls_security_level = may
smtpd_tls_loglevel = 1
smtpd_tls_session_cache_database = btree:${data_directory}/smtpd_scache
smtpd_tls_mandatory_protocols = >=TLSv1
smtpd_tls_protocols = >=TLSv1.2
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = example.test
smtpd_sasl_security_options = noanonymous
smtpd_sasl_tls_security_options = noanonymous
cyrus_sasl_config_path = /etc/postfix/sasl
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
""")
	master = MASTER_COMMON
	for octet, (name, ports, certificate, settings) in SERVERS.items():
		options = {"myhostname": f"{name}.example.test"}
		if certificate:
			options["smtpd_tls_cert_file"] = f"/lab/{certificate}.pem"
		for key, value in settings.items():
			if key == "tls_legacy":
				options["smtpd_tls_ciphers"] = "low"
				options["tls_low_cipherlist"] = "ALL:@SECLEVEL=0"
				options["tls_medium_cipherlist"] = "ALL:@SECLEVEL=0"
			else:
				options[key] = value
		if certificate in ("weakkey", "sha1"):
			options["tls_medium_cipherlist"] = "ALL:@SECLEVEL=0"
		listeners = [address(octet)] + (["[2001:db8:2::25]"] if octet == 25 else [])
		for host in listeners:
			for port in ports:
				master += f"{host}:{port} inet n - n - - smtpd\n"
				for key, value in options.items():
					master += f"  -o {key}={value}\n" if " " not in value else f"  -o {{ {key} = {value} }}\n"
	write(f"{config}/master.cf", master)
	write(f"{root}/etc/postfix/sasl/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
		"mech_list: PLAIN LOGIN CRAM-MD5 DIGEST-MD5\n")
	subprocess.run(["chroot", root, "saslpasswd2", "-p", "-c", "-u", "example.test", "scanner"],
		input=PASSWORD.encode(), check=True)
	os.chmod(f"{root}/etc/sasldb2", 0o644)
	process = net.start("server", root, ["/usr/lib/postfix/sbin/master", "-d", "-c", f"/etc/{instance}"],
		f"{logs}/postfix-server.log")
	net.wait_listening("server", address(46), 25)
	return process


# Transports of the sending Postfix: the domain of the recipient names one and the
# server: someone@may.25.example.test goes to 198.51.100.25 by `smtp-may`.
TRANSPORTS = {
	"may": {"smtp_tls_security_level": "may"},
	"none": {"smtp_tls_security_level": "none"},
	"must": {"smtp_tls_security_level": "encrypt"},
	"verify": {"smtp_tls_security_level": "verify", "smtp_tls_CAfile": "/lab/ca.crt"},
	"old": {"smtp_tls_security_level": "may", "smtp_tls_protocols": ">=TLSv1", "smtp_tls_ciphers": "low",
		"tls_low_cipherlist": "ALL:@SECLEVEL=0"},
	"helo": {"smtp_tls_security_level": "may", "smtp_never_send_ehlo": "yes"},
	"fallback": {"smtp_tls_security_level": "may", "minimal_backoff_time": "1s",
		"smtp_starttls_timeout": "5s"},
	"second": {"smtp_tls_security_level": "may", "smtp_bind_address": "192.0.2.11"},
	"third": {"smtp_tls_security_level": "may", "smtp_bind_address": "192.0.2.12"},
}


class PostfixClient:
	def __init__(self, net, root, logs):
		self.net, self.root = net, root
		instance = "postfix-client"
		config = f"{root}/etc/{instance}"
		postfix_directories(root, instance)
		write(f"{config}/main.cf", POSTFIX_COMMON.format(instance=instance) + f"""
myhostname = client.example.test
inet_interfaces = 127.0.0.1
smtp_bind_address6 = 2001:db8:1::10
minimal_backoff_time = 3s
maximal_backoff_time = 4000s
queue_run_delay = 3s
smtp_bind_address = 192.0.2.10
smtp_tls_loglevel = 1
smtp_tls_CAfile = /lab/ca.crt
smtp_connection_cache_on_demand = no
smtp_tls_connection_reuse = no
notify_classes =
bounce_queue_lifetime = 0
transport_maps = texthash:/etc/{instance}/transport
""")
		routes = ""
		for name in TRANSPORTS:
			for octet in range(25, 60):
				routes += f"{name}.{octet}.example.test smtp-{name}:[{address(octet)}]:25\n"
				routes += f"{name}.submission.{octet}.example.test smtp-{name}:[{address(octet)}]:587\n"
			routes += f"{name}.6.example.test smtp-{name}:[2001:db8:2::25]:25\n"
		write(f"{config}/transport", routes)
		master = MASTER_COMMON
		for name, settings in TRANSPORTS.items():
			master += f"smtp-{name} unix - - n - - smtp\n"
			for key, value in settings.items():
				master += f"  -o {key}={value}\n" if " " not in value else f"  -o {{ {key} = {value} }}\n"
		write(f"{config}/master.cf", master)
		self.log = f"{root}/var/log/{instance}.log"
		self.process = net.start("client", root, ["/usr/lib/postfix/sbin/master", "-d", "-c", f"/etc/{instance}"],
			f"{logs}/postfix-client.log")
		end = time.monotonic() + 15
		while not os.path.exists(f"{root}/var/spool/{instance}/public/pickup"):
			if time.monotonic() > end:
				raise RuntimeError("the sending Postfix did not come up")
			time.sleep(0.05)

	def read_log(self):
		try:
			with open(self.log, encoding="utf-8", errors="replace") as log:
				return log.read()
		except FileNotFoundError:
			return ""

	def send(self, recipient, message, sender="sender@example.test", timeout=30, deliveries=1, keep=False):
		"""Queue a message and wait for that many attempts; returns the log's lines."""
		already = len(self.read_log())
		subprocess.run(self.net.command("client", self.root, ["sendmail", "-C", "/etc/postfix-client", "-f", sender,
			recipient]), input=message, check=True)
		end = time.monotonic() + timeout
		while time.monotonic() < end:
			new = self.read_log()[already:]
			if len(re.findall(r" to=<.* status=", new)) >= deliveries:
				break
			time.sleep(0.05)
		else:
			raise RuntimeError(f"Postfix: no delivery of {recipient}:\n{new}")
		time.sleep(0.2)
		if not keep:
			subprocess.run(["chroot", self.root, "postsuper", "-c", "/etc/postfix-client", "-d", "ALL"], check=False,
				capture_output=True)
		return new


# ---------------------------------------------------------------------------
# Exim

def start_exim(net, root, logs, name="exim-server", host=26, priorities=None, tls=True):
	os.makedirs(f"{root}/var/spool/{name}", exist_ok=True)
	os.makedirs(f"{root}/var/log/{name}", exist_ok=True)
	for path in (f"{root}/var/spool/{name}", f"{root}/var/log/{name}"):
		os.chown(path, 103, 103)
	write(f"{root}/etc/exim4/{name}.conf", f"""
primary_hostname = mx2.example.test
local_interfaces = {address(host)}
daemon_smtp_ports = 25 : 587 : 465
tls_on_connect_ports = 465
tls_advertise_hosts = {'*' if tls else ''}
tls_certificate = /lab/mx2.pem
{f'tls_require_ciphers = {priorities}' if priorities else ''}
tls_dhparam = historic
chunking_advertise_hosts = *
pipelining_connect_advertise_hosts = *
auth_advertise_hosts = *
host_lookup =
rfc1413_hosts =
spool_directory = /var/spool/{name}
log_file_path = /var/log/{name}/%slog
pid_file_path = /var/spool/{name}/pid
acl_smtp_rcpt = accept_all
acl_smtp_data = accept_all
queue_only
keep_environment =
begin acl
accept_all:
  accept
begin routers
drop:
  driver = redirect
  data = :blackhole:
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{ACCOUNT}}}}}{{eq{{$auth3}}{{{PASSWORD}}}}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{{ACCOUNT}}}}}{{eq{{$auth2}}{{{PASSWORD}}}}}}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = {PASSWORD}
  server_set_id = $auth1
""")
	process = net.start("server", root, ["exim4", "-C", f"/etc/exim4/{name}.conf", "-bdf"], f"{logs}/{name}.log")
	net.wait_listening("server", address(host), 465 if host == 26 else 25)
	return process


def exim_send(net, root, logs, octet, message, port=25, settings="", source="192.0.2.10", retries=0):
	"""Exim as a sending client: one delivery attempt in the foreground, by smart host."""
	name = "exim-client"
	os.makedirs(f"{root}/var/spool/{name}", exist_ok=True)
	os.makedirs(f"{root}/var/log/{name}", exist_ok=True)
	for path in (f"{root}/var/spool/{name}", f"{root}/var/log/{name}"):
		os.chown(path, 103, 103)
	write(f"{root}/etc/exim4/{name}.conf", f"""
primary_hostname = client.example.test
spool_directory = /var/spool/{name}
log_file_path = /var/log/{name}/%slog
keep_environment =
untrusted_set_sender = *
begin routers
smarthost:
  driver = manualroute
  route_list = * {address(octet)} byname
  transport = smtp
  self = send
begin transports
smtp:
  driver = smtp
  port = {port}
  interface = {source}
  hosts_try_dane =
  tls_verify_hosts =
  tls_try_verify_hosts =
  {settings}
begin retry
* * F,1h,1s
""")
	result = subprocess.run(net.command("client", root, ["exim4", "-C", f"/etc/exim4/{name}.conf", "-odf", "-f",
		"sender@example.test", "rcpt@example.test"]), input=message, capture_output=True, timeout=120, check=False)
	with open(f"{logs}/exim-client.out", "ab") as log:
		log.write(result.stdout + result.stderr)
	# What was not delivered shall not come back in a later session.
	for part in ("input", "msglog", "db"):
		shutil.rmtree(f"{root}/var/spool/{name}/{part}", ignore_errors=True)


# ---------------------------------------------------------------------------
# OpenSMTPD, openssl s_server

def start_opensmtpd(net, root, logs):
	os.makedirs(f"{root}/var/spool/smtpd", exist_ok=True)
	os.chmod(f"{root}/var/spool/smtpd", 0o711)
	os.makedirs(f"{root}/etc/opensmtpd", exist_ok=True)
	shutil.copy(f"{root}/lab/mx3.pem", f"{root}/etc/opensmtpd/mx3.pem")
	os.chmod(f"{root}/etc/opensmtpd/mx3.pem", 0o600)
	crypted = subprocess.run(["chroot", root, "openssl", "passwd", "-6", "-salt", "laboratory", PASSWORD],
		capture_output=True, text=True, check=True).stdout.strip()
	write(f"{root}/etc/opensmtpd/creds", f"{ACCOUNT} {crypted}\n")
	host = address(27)
	write(f"{root}/etc/opensmtpd/smtpd.conf", f"""
pki mx3.example.test cert "/etc/opensmtpd/mx3.pem"
pki mx3.example.test key "/etc/opensmtpd/mx3.pem"
table creds file:/etc/opensmtpd/creds
listen on {host} port 25 tls pki mx3.example.test hostname mx3.example.test
listen on {host} port 465 smtps pki mx3.example.test hostname mx3.example.test auth <creds>
listen on {host} port 587 tls-require pki mx3.example.test hostname mx3.example.test auth <creds>
table everybody {{ "@" = "user" }}
action drop mda "/bin/cat >/dev/null" virtual <everybody>
match from any for any action drop
""")
	process = net.start("server", root, ["smtpd", "-d", "-f", "/etc/opensmtpd/smtpd.conf"], f"{logs}/opensmtpd.log")
	net.wait_listening("server", host, 587)
	return process


def start_s_server(net, root, logs, *arguments, port=25):
	"""openssl s_server on mx4, TLS from the first byte."""
	process = net.start("server", root, ["openssl", "s_server", "-accept", f"{address(28)}:{port}", *arguments],
		f"{logs}/s_server.log", ready="ACCEPT", stdin=subprocess.PIPE)	# it ends with its input
	return process
