#!/usr/bin/env python3
"""A client of memslotd without dependencies: a VM with memory, an array, and a second one.

    client.py [SOCKET]          $MEMSLOTS_SOCKET or the machine's daemon by default

The package `memslots` of Python does more: it checks whose daemon it is, passes descriptors, and has
types. Protocol.md describes all methods.
"""
import json
import os
import socket
import sys


class Daemon:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")
        self.last = 0

    def call(self, method, **params):
        """The result of a request; the error of a refusal ends the program."""
        self.last += 1
        request = {"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        for line in self.lines:
            reply = json.loads(line)
            if "method" in reply:
                continue  # A notification.
            if "error" in reply:
                sys.exit(f"{method}: {reply['error']['message']}")
            return reply["result"]
        sys.exit("the daemon closed the connection")


def main():
    default = os.environ.get("MEMSLOTS_SOCKET", "/run/memslots/memslotd.sock")
    daemon = Daemon(sys.argv[1] if len(sys.argv) > 1 else default)
    daemon.call("vm.create", vm="example", backend="simulated")
    daemon.call("memory.create", vm="example", memory="ram", size=1 << 20, backing="memfd")
    whole = [{"guestPhysicalAddress": 0, "size": 1 << 20, "memory": "ram"}]
    first = daemon.call("memslots.submit", vm="example", slots=whole)
    # The whole array again, with a hole: one transaction, only if nobody changed it meanwhile.
    split = [
        {"guestPhysicalAddress": 0, "size": "0x80000", "memory": "ram"},
        {"guestPhysicalAddress": "0xc0000", "size": "0x40000", "memory": "ram", "memoryOffset": "0xc0000"},
    ]
    second = daemon.call("memslots.submit", vm="example", slots=split, expectedGeneration=first["generation"])
    for slot in daemon.call("memslots.get", vm="example")["slots"]:
        print(slot["guestPhysicalAddress"], slot["size"], slot["memory"])
    print(f"generation {second['generation']}")
    daemon.call("vm.destroy", vm="example")


main()
