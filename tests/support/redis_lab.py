# SPDX-License-Identifier: Apache-2.0
"""Real Redis servers on loopback for the delivery tests: start, kill, ask, cut."""
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    # The bus of a cluster node listens 10000 higher.
    return port if port < 55000 else free_port()


class RedisError(Exception):
    pass


class Client:
    """The Redis protocol in forty lines, so that no package is needed."""

    def __init__(self, port=None, path=None, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.socket.settimeout(timeout)
        self.socket.connect(path or ("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def __call__(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(
            b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
        )
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest.decode()
        if int(rest) < 0:
            return None
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2].decode("utf-8", "replace")
        return [self.read() for _ in range(int(rest))]

    def close(self):
        self.file.close()
        self.socket.close()


class Server:
    def __init__(self, lab, name, *settings, port=None, program="redis-server", tail=()):
        self.port = port or free_port()
        self.directory = os.path.join(lab.directory, name)
        os.makedirs(self.directory, exist_ok=True)
        self.config = os.path.join(self.directory, "redis.conf")
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}", 'save ""', "protected-mode no"]
        with open(self.config, "w") as f:
            f.write("\n".join(lines + list(settings)) + "\n")
        self.command = [program, self.config, *tail]
        self.process = None
        lab.servers.append(self)
        self.start()

    def start(self, wait=True):
        log = open(os.path.join(self.directory, "log"), "ab")
        self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + 15
        while wait and time.monotonic() < deadline:
            try:
                client = self.client()
                client("PING")
                client.close()
                return
            except RedisError as e:
                if str(e).startswith("NOAUTH"):
                    return
            except OSError:
                pass
            time.sleep(0.02)
        if wait:
            raise RuntimeError(f"{self.command} does not answer")

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self):
        return Client(self.port)

    def call(self, *words):
        client = self.client()
        try:
            return client(*words)
        finally:
            client.close()


class Cutter:
    """A proxy that closes a connection after a random number of reply bytes."""

    def __init__(self, port, low, high):
        self.target, self.low, self.high = port, low, high
        self.cuts = 0
        self.healthy = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            threading.Thread(target=self.pump, args=(near, far, None), daemon=True).start()
            budget = None if self.healthy else random.randint(self.low, self.high)
            threading.Thread(target=self.pump, args=(far, near, budget), daemon=True).start()

    def pump(self, source, sink, budget):
        try:
            while data := source.recv(65536):
                if budget is not None and len(data) >= budget:
                    sink.sendall(data[:budget])
                    self.cuts += 1
                    break
                sink.sendall(data)
                budget = None if budget is None else budget - len(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Lab:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="stripwatch-redis-")
        self.servers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def server(self, name, *settings, **options):
        return Server(self, name, *settings, **options)

    def path(self, name):
        return os.path.join(self.directory, name)

    def certificates(self):
        """A CA, a server for "redis.example" and 127.0.0.1, a client."""
        d = self.path("tls")
        os.makedirs(d)

        def openssl(*words):
            subprocess.run(["openssl", *words], cwd=d, check=True, capture_output=True)

        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
                "-subj", "/CN=test CA", "-days", "2")
        for name, san in (("server", "DNS:redis.example"), ("client", "DNS:sensor")):
            openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", name + ".key", "-out", name + ".csr",
                    "-subj", "/CN=" + name)
            with open(os.path.join(d, "ext"), "w") as f:
                f.write("subjectAltName=" + san + "\n")
            openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                    "-out", name + ".pem", "-days", "2", "-extfile", "ext")
        return d
