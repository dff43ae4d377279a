"""A peer that drives every limit of a daemon to its end at once: exhaust.py SOCKET UID.

It prints a line once it holds everything, and then holds it until its input ends.
"""
import json
import os
import select
import socket
import sys

path, uid = sys.argv[1], int(sys.argv[2])
if uid != os.getuid():
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)

LINE = 16 << 20
opened = []
refused = {}


def connect():
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    try:
        peer.connect(path)
    except OSError:
        return None
    opened.append(peer)
    return peer


def record(reply):
    for one in reply if isinstance(reply, list) else [reply]:
        data = one.get("error", {}).get("data", {})
        if data:
            name = data.get("limit", data["kind"])
            refused[name] = refused.get(name, 0) + 1
    return reply


control = connect()
stream = control.makefile("rwb")


def call(method, **params):
    line = {"id": 1, "method": method, "params": params}
    stream.write(json.dumps(line).encode() + b"\n")
    stream.flush()
    return record(json.loads(stream.readline()))


def pipelined(requests):
    lines = [{"id": 1, "method": method, "params": params} for method, params in requests]
    stream.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    stream.flush()
    return [record(json.loads(stream.readline())) for _ in lines]


def is_refused(reply):
    return any("error" in one for one in (reply if isinstance(reply, list) else [reply]))


limits = call("server.info")["result"]["limits"]


def slots(count, shift, ids=True):
    array = []
    for number in range(count):
        slot = {
            "guestPhysicalAddress": (number << 31) + (shift << 12),
            "size": 1 << 30,
            "userspaceAddress": 0x10000 + (number << 31),
            "flags": ["log-dirty-pages"],
        }
        if ids:
            slot["slot"] = number
        array.append(slot)
    return array


# VMs, and subscribers that read nothing.
followers = [connect() for _ in range(32)]
for first in range(0, limits["vmsPerPeer"] + 1, 128):
    pipelined([("vm.create", {"vm": f"v{first + number}", "backend": "simulated"})
               for number in range(128)])
for peer in followers:
    peer.sendall(b'{"id":1,"method":"events.subscribe"}\n')
# A slot to be written, before the other user or this one has used up all slots.
for _ in range(1000):
    if not is_refused(call("memslots.submit", vm="v1", slots=[dict(slots(1, 0)[0], size=1 << 42)])):
        break
# Slots, receipts and events.
count = 4096
for number in range(limits["slotsPerPeer"] // count + 2):
    if is_refused(call("memslots.submit", vm=f"v{number + 2}", slots=slots(count, 0))):
        break
for shift in range(24):
    call("memslots.submit", vm="v0", slots=slots(count, shift % 2, ids=False))
# Dirty bits: a hundred pages in each of many chunks.
for first in range(0, 1 << 15, 256):
    touches = [("guest.touch", {"vm": "v1", "guestPhysicalAddress": (first + number) << 27,
                                "size": 100 << 12}) for number in range(256)]
    pipelined(touches)
    # Other limits, which the other user reaches too, may refuse some of them.
    if "dirtyBytes" in refused or "dirtyBytesPerPeer" in refused:
        break
call("dirtylog.get", vm="v1", slot=0, pageCount=1 << 20)
# Replies that are not read.
for _ in range(48):
    peer = connect()
    if peer:
        peer.sendall(b'{"id":1,"method":"memslots.get","params":{"vm":"v0"}}\n' * 8)
# A line of each kind that costs the most.
for line in (
    b"[" + b"1," * (1 << 20) + b"1]",
    b"[" + b"[[]]," * (1 << 19) + b"[]]",
    b'{"id":1,"method":"memslots.translate","params":{"vm":"v0","addresses":['
    + b"1," * (7 << 20) + b"1]}}",
):
    peer = connect()
    try:
        peer.sendall(line + b"\n")
        record(json.loads(peer.makefile("rb").readline()))
    except (OSError, ValueError):
        refused["lost"] = refused.get("lost", 0) + 1
# Half lines, on all connections that are left.
halves = []
half = b'{"id":1,"x":"' + b"x" * (LINE - (1 << 16))
while len(opened) < limits["connectionsPerPeer"]:
    peer = connect()
    if not peer:
        break
    halves.append(peer)
    try:
        peer.sendall(half)
    except OSError:
        pass
# A peer that was refused has a reply.
for peer in select.select(opened, [], [], 1)[0]:
    if peer in halves:
        line = peer.makefile("rb").readline()
        if line:
            record(json.loads(line))
print(json.dumps(refused), flush=True)
sys.stdin.read()
