"""Passes descriptors to a server whose close() never returns, each on a connection of its own.

    hanging.py fuse|tcp SOCKET COUNT TIMES LINE [leave]

fuse: a file of a file system that does not reply to FLUSH; needs root and /dev/fuse.
tcp: a socket with unsent bytes that lingers.

On each connection it sends LINE this many times, each with a descriptor, and reads as many lines.
It prints these lines, and "done". It keeps the connections until its input ends, or leaves at once.
"""
import array, ctypes, os, signal, socket, struct, sys

kind, path, count, times, line = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]), sys.argv[5]
libc = ctypes.CDLL(None, use_errno=True)


def check(status):
    if status != 0:
        raise OSError(ctypes.get_errno(), "the file system can't be mounted")


def serve_fuse(device):
    """Replies to what opening a file needs, until the input ends. The end frees who hangs."""
    import select

    while True:
        ready, _, _ = select.select([device, 0], [], [])
        if 0 in ready:
            os._exit(0)
        request = os.read(device, 1 << 17)
        opcode, unique = struct.unpack_from("<xxxxIQ", request)
        if opcode == 26:  # INIT
            body = struct.pack("<IIIIHHIIHHI7I", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, 0, *[0] * 7)
        elif opcode == 3:  # GETATTR
            attributes = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, *[0] * 3, 0o100600, 1, *[0] * 5)
            body = struct.pack("<QII", 0, 0, 0) + attributes
        elif opcode == 14:  # OPEN
            body = struct.pack("<QII", 1, 0, 0)
        else:
            continue
        os.write(device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)


def fuse_file():
    device = os.open("/dev/fuse", os.O_RDWR)
    target = path + ".fuse"
    open(target, "w").close()
    check(libc.unshare(0x20000))
    check(libc.mount(None, b"/", None, 1 << 14 | 1 << 18, None))
    options = f"fd={device},rootmode=100000,user_id=0,group_id=0".encode()
    check(libc.mount(b"hanging", target.encode(), b"fuse", 6, options))
    # A process of its own, which holds none of the files: its end must not wait for itself.
    if os.fork() == 0:
        serve_fuse(device)
    os.close(device)
    return lambda: os.open(target, os.O_RDONLY)


def tcp_socket():
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def make():
        client = socket.create_connection(listener.getsockname())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1000))
        client.setblocking(False)
        try:
            while True:
                client.send(bytes(1 << 20))
        except BlockingIOError:
            return client.detach()

    make.listener = listener
    return make


def connect():
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    return client


make = fuse_file() if kind == "fuse" else tcp_socket()
clients = [connect() for _ in range(count)]
server = struct.unpack_from("i", clients[0].getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
files = [make() for _ in clients]
# Stopped until this process has closed its own copies: the last one to close waits.
os.kill(server, signal.SIGSTOP)
for client, file in zip(clients, files):
    passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))]
    for _ in range(times):
        client.sendmsg([line.encode() + b"\n"], passed)
    # A FUSE file would make this process hang, whoever else has it.
    if kind == "tcp":
        os.close(file)
os.kill(server, signal.SIGCONT)
for client in clients:
    replies = client.makefile()
    try:
        for _ in range(times):
            print(replies.readline().strip(), flush=True)
    except ConnectionResetError:
        pass
    if sys.argv[6:]:
        client.shutdown(socket.SHUT_RDWR)
        client.close()
print("done", flush=True)
sys.stdin.read()
