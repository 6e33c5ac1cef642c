# SPDX-License-Identifier: Apache-2.0
"""
A Redis that is worse than any real one: it keeps streams and transactions as Redis does, but
answers any command with an error, any EXEC with an error, an error for one of its entries or
a hang-up, before or after it took effect, by the dice.
"""
import random
import socket
import threading


class FakeRedis:
    def __init__(self, seed, trouble):
        self.dice, self.trouble = random.Random(seed), trouble
        self.lock = threading.Lock()
        self.streams = {}
        self.master = None  # the port that it names when it is asked as a sentinel
        self.counts = {"oom": 0, "exec": 0, "entry": 0, "hangup": 0, "discard": 0}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def happens(self, what, share=1.0):
        if self.dice.random() < self.trouble * share:
            self.counts[what] += 1
            return True
        return False

    def apply(self, words):
        if words[0] == b"XADD":
            fields = words[words.index(b"*") + 1:]
            pairs = dict(zip(fields[::2], fields[1::2]))
            self.streams.setdefault(words[1].decode(), []).append(pairs[b"id"].decode() if b"id" in pairs else None)
            return b"$3\r\n1-1\r\n"
        return b":1\r\n"

    def execute(self, queue, dirty):
        """The reply to EXEC, or None: hang up."""
        if dirty:
            return b"-EXECABORT Transaction discarded because of previous errors.\r\n"
        if self.happens("exec"):
            return b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
        if self.happens("hangup", 0.3):
            return None
        bad = self.dice.randrange(len(queue)) if self.happens("entry", 0.5) else None
        # As with a failing script or a key of another type: the others take effect.
        replies = [b"-OOM of one entry\r\n" if bad is not None and i >= bad else self.apply(words)
                   for i, words in enumerate(queue)]
        if self.happens("hangup", 0.3):
            return None
        return b"*%d\r\n" % len(replies) + b"".join(replies)

    def answer(self, state, words):
        name = words[0].upper()
        if name == b"MULTI" and state["queue"] is not None:
            return b"-ERR MULTI calls can not be nested\r\n"
        if name == b"MULTI":
            state["queue"], state["dirty"] = [], False
            return b"+OK\r\n"
        if name in (b"EXEC", b"DISCARD"):
            queue, state["queue"] = state["queue"], None
            if queue is None:
                return b"-ERR " + name + b" without MULTI\r\n"
            if name == b"DISCARD":
                self.counts["discard"] += 1
                # A user whose ACL does not name DISCARD: still in MULTI.
                if self.dice.random() < 0.1:
                    state["queue"] = queue
                    return b"-NOPERM this user has no permissions to run the 'discard' command\r\n"
                return b"+OK\r\n"
            return self.execute(queue, state["dirty"])
        if state["queue"] is not None:
            if name == b"XADD" and self.happens("oom", 0.01):
                state["dirty"] = True
                return b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
            state["queue"].append(words)
            return b"+QUEUED\r\n"
        if name == b"SENTINEL":
            return b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(self.master)), self.master)
        return self.apply(words) if name in (b"XADD", b"HSET", b"EXPIRE") else b"+OK\r\n"

    def serve(self, client):
        file, state = client.makefile("rb"), {"queue": None, "dirty": False}
        try:
            while line := file.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int(file.readline()[1:])
                    words.append(file.read(size + 2)[:-2])
                with self.lock:
                    reply = self.answer(state, words)
                if reply is None:
                    break
                client.sendall(reply)
        except (OSError, ValueError):
            pass
        # Both ways, so that the file's own reference cannot keep the connection.
        try:
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        client.close()
