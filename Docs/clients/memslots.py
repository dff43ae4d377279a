"""A client of memslotd: JSON-RPC 2.0, one message a line, over a Unix socket. Python 3.9, no dependency."""
import collections, json, os, socket, stat, struct


class MemslotError(Exception):
    """The server's error for a request."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code, self.data, self.kind = error["code"], error["data"], error["data"]["kind"]


class Memslots:
    """One connection, for one thread at a time."""

    def __init__(self, path=None, sock=None, server_uid=None):
        """Connects to a server of root, of our user, of `server_uid`, or of the owner of the socket's
        directory where every directory above is writable by root alone."""
        if sock is None:
            runtime = os.environ.get("XDG_RUNTIME_DIR", "/run")
            path = path or os.path.join(runtime, "memslots", "memslotd.sock")
            sock, user = self._connect(path)
            if user not in (0, os.geteuid(), server_uid):
                # Without links, so that the path means the directories that are checked.
                path = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
                sock.close()
                sock, again = self._connect(path)
                if again != user or not self._only_root_can_replace(os.path.dirname(path), user):
                    raise PermissionError(f"{path}: user {user} listens there, our user is {os.geteuid()};"
                                          f" server_uid={user} permits it")
        self._socket, self._last_id = sock, 0
        self._rest, self._rest_fds = b"", []  # of the unfinished line
        self._lines, self._events = collections.deque(), collections.deque()

    @staticmethod
    def _connect(path):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(path)
        return sock, struct.unpack("3I", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]

    @staticmethod
    def _only_root_can_replace(directory, owner):
        if os.lstat(directory).st_uid != owner:
            return False
        while directory != "/":
            directory = os.path.dirname(directory)
            status = os.lstat(directory)
            if status.st_uid != 0 or status.st_mode & 0o022 or not stat.S_ISDIR(status.st_mode):
                return False
        return True

    def call(self, method, params=None, fds=()):
        """Calls a method and returns its result; descriptors that came with it are in "fds"."""
        request = self._request(method, params)
        self._send(request, fds)
        reply, received = self._read(lambda message: message.get("id") == request["id"])
        if "error" in reply:
            raise MemslotError(reply["error"])
        return dict(reply["result"], fds=received) if received else reply["result"]

    def batch(self, calls):
        """Sends (method, params) pairs on one line; returns a result or a MemslotError for each."""
        requests = [self._request(method, params) for method, params in calls]
        self._send(requests)
        replies, received = self._read(lambda message: isinstance(message, list))
        for descriptor in received:
            os.close(descriptor)
        if isinstance(replies, dict):  # the batch as a whole was refused
            raise MemslotError(replies["error"])
        by_id = {reply["id"]: reply for reply in replies}
        replies = [by_id[request["id"]] for request in requests]
        return [MemslotError(a["error"]) if "error" in a else a["result"] for a in replies]

    def notify(self, method, params=None):
        """Sends a notification: a request that gets no reply."""
        self._send({"jsonrpc": "2.0", "method": method, "params": params or {}})

    def events(self):
        """Yields (method, params) of each notification, until the server closes the connection."""
        while True:
            try:
                while not self._events:
                    self._read(lambda message: False, once=True)
            except ConnectionError:
                return
            event = self._events.popleft()
            yield event["method"], event["params"]

    def _request(self, method, params):
        self._last_id += 1
        return {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params or {}}

    def _send(self, message, fds=()):
        line = json.dumps(message).encode() + b"\n"
        sent = socket.send_fds(self._socket, [line], list(fds)) if fds else 0
        self._socket.sendall(line[sent:])

    def _read(self, is_wanted, once=False):
        """Reads up to the wanted message; queues the notifications before it."""
        while True:
            while not self._lines:
                self._receive()
            line, received = self._lines.popleft()
            message = json.loads(line)
            if isinstance(message, dict) and "method" in message:
                self._events.append(message)
            elif is_wanted(message) or isinstance(message, dict) and message.get("id") is None:
                return message, received
            if once:
                return None, received

    def _receive(self):
        data, fds, _, _ = socket.recv_fds(self._socket, 1 << 16, 16, socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise ConnectionError("the server closed the connection")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._lines.append((line, self._rest_fds))
            self._rest_fds = []
        # Descriptors belong to the line with the last byte that came with them.
        (self._rest_fds if self._rest or not lines else self._lines[-1][1]).extend(fds)
