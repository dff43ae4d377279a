"""Passes descriptors to a server whose close() never returns, each on a connection of its own.

    hanging.py fuse|tcp SOCKET COUNT TIMES LINE [leave]

fuse: a file of a file system that does not reply to FLUSH; needs root and /dev/fuse.
tcp: a socket with unsent bytes that lingers.

On each connection it sends LINE this many times, each with a descriptor, and reads as many lines.
It prints these lines, and "done". It keeps the connections until its input ends, or leaves at once.
"""
import array, os, signal, socket, struct, sys

kind, path, count, times, line = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]), sys.argv[5]
sys.dont_write_bytecode = True
sys.path.append(os.path.join(os.path.dirname(__file__), "../../../../Sources/Lab/hostile"))


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


if kind == "fuse":
    from fuse import mount, unmount

    target = mount()
    make = lambda: os.open(target, os.O_RDONLY)
else:
    make = tcp_socket()
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
if kind == "fuse":
    unmount(target)
