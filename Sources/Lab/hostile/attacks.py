"""What a hostile user does. Each function is an attack; a step of the run does one."""

from __future__ import annotations

import concurrent.futures
import os
import random
import signal
import subprocess
import sys
from typing import Any, Callable, Dict, List, Optional, Set

import memslots
from kernel import LingeringSocket, connect
from model import Model
from peers import PATIENCE, VM, BrokenPromise, Peer, Quiet, line

Slots = List[Dict[str, Any]]
BYTES = {"requestBytes", "requestBytesPerPeer", "dirtyBytes", "dirtyBytesPerPeer"}
"""Limits of what a request takes, which this model does not compute."""
KVM_FILES = 1
"""Descriptors of a VM of KVM, beside those of its memory."""


class Attacks:
    """The attacks on a daemon by its peers, drawn from a seed."""

    def __init__(self, model: Model, seed: int, can_fuse: bool, can_kvm: bool) -> None:
        self.model, self.random = model, random.Random(seed)
        self.doing = "the beginning"
        self._files = [os.open("/dev/null", os.O_RDONLY), *os.pipe()]
        everything: List[Callable[[Peer], None]] = [
            self.open_connections, self.send_half_a_line, self.send_half_a_line,
            self.pass_too_many_descriptors, self.leave_replies, self.leave_replies,
            self.leave_events, self.create_vms, self.submit, self.submit, self.submit, self.submit_at_once,
            self.make_receipts, self.write_pages, self.write_pages, self.create_memory,
            self.destroy_vm, self.leave_in_the_middle, self.send_garbage, self.send_garbage,
            self.linger, self.disconnect, self.disconnect,
        ]  # fmt: skip
        self._all = everything + [self.hang] * can_fuse + [self.submit_to_kvm] * can_kvm

    def step(self) -> None:
        """Lets a peer do something, which is then `doing`."""
        peer = self.random.choice(self.model.peers)
        attack = self.random.choice(self._all)
        self.doing = f"{attack.__name__} of user {peer.uid}"
        # Sometimes all at once, so that limits are reached in the midst of others.
        for _ in range(self.random.choice([1, 1, 1, 5])):
            attack(peer)

    # ---- Connections and lines

    def open_connections(self, peer: Peer) -> None:
        """Many connections that send nothing; beyond the limit they are refused."""
        many = self.model.limits["connectionsPerPeer"] + 8
        for _ in range(self.random.choice([self.random.randint(1, 40), many])):
            peer.connect()

    def send_half_a_line(self, peer: Peer) -> None:
        """Lines without an end, some with descriptors."""
        length = self.random.randint(1, 16) << self.random.randint(4, 20)
        half = b'{"id":1,"x":"' + b"x" * min(length, self.model.limits["lineBytes"] - 64)
        for _ in range(self.random.randint(1, 8)):
            quiet = peer.connect()
            if self.random.random() < 0.5:
                self._pass(peer, quiet, self.random.randint(1, 16))
            quiet.half += quiet.send(half)

    def pass_too_many_descriptors(self, peer: Peer) -> None:
        """More descriptors than a line may have, in several messages. All are closed."""
        for _ in range(self.random.randint(1, 8)):
            quiet = peer.connect()
            for _ in range(self.random.randint(2, 4)):
                self._pass(peer, quiet, self.random.randint(9, 16))

    def _pass(self, peer: Peer, quiet: Quiet, count: int) -> None:
        """Sends descriptors with a part of a line."""
        files = [self.random.choice([peer.memory, *self._files]) for _ in range(count)]
        fits = quiet.passed + count <= self.model.limits["descriptors"] and not quiet.is_spoilt
        if self.model.shortage("passedDescriptors", count, peer) or not fits:
            quiet.passed, quiet.files, quiet.is_spoilt = 0, 0, True
        else:
            quiet.passed += count
            quiet.files += files.count(peer.memory)
        quiet.half += quiet.send(b'{"id":1,"y":"' if quiet.half == 0 else b"y", files)
        # The daemon counts them in the order in which they come.
        self.model.settle()

    def send_garbage(self, peer: Peer) -> None:
        """Lines that are nothing, and lines that cost the most for their bytes."""
        count = self.random.randint(1, 100_000)
        unit = self.random.choice([b"1,", b"[],", b"{},", b'"\\u0000",', b"[[[1]]],"])
        text = self.random.choice(
            [
                b"[" + unit * count + b"1]\n",
                b"[" * count + b"\n",
                os.urandom(self.random.randint(1, 4096)).replace(b"\n", b"") + b"\n",
                b"x" * (self.model.limits["lineBytes"] + 2),
                line("vm.list")[:-1] + b"\0\n",
                line("memslots.translate", vm="none", addresses=list(range(count))),
            ]
        )
        quiet = peer.connect()
        # The replies to a batch may fill what its user may leave unread.
        quiet.is_owed = True
        quiet.send(text)
        if self.random.random() < 0.5:
            peer.close([quiet])

    def disconnect(self, peer: Peer) -> None:
        """Ends connections in the middle of whatever they do."""
        count = self.random.choice([len(peer.quiet) // 2, self.random.randint(1, 32)])
        peer.close(self.random.sample(peer.quiet, min(count, len(peer.quiet))))

    # ---- Replies and events that nobody reads

    def leave_replies(self, peer: Peer) -> None:
        """Requests whose replies are large, in lines and in batches."""
        name = self._vm(peer)
        if name is None:
            return
        requests = [
            line("memslots.get", vm=name),
            line("memslots.history", vm=name),
            line("metrics.get"),
            line("memslots.translate", vm=name, addresses=[{"guestPhysicalAddress": 0, "size": 1 << 50}]),
        ]
        for _ in range(self.random.randint(1, 4)):
            quiet = peer.connect()
            quiet.is_owed = True
            lines = [self.random.choice(requests) for _ in range(self.random.randint(1, 64))]
            if self.random.random() < 0.3:
                lines = [b"[" + b",".join(one.strip() for one in lines) + b"]\n"]
            quiet.send(b"".join(lines))

    def leave_events(self, peer: Peer) -> None:
        """Subscriptions, by name and to all VMs."""
        for _ in range(self.random.randint(1, 4)):
            quiet = peer.connect()
            quiet.is_owed = True
            names = self.random.sample(list(peer.vms), self.random.randint(0, min(len(peer.vms), 200)))
            quiet.subscriptions = 1 + len(names)
            quiet.send(b"".join(line("events.subscribe", vm=name) for name in names))
            quiet.send(line("events.subscribe"))

    # ---- VMs

    def _vm(self, peer: Peer) -> Optional[str]:
        """A VM of the peer, sometimes a new one; None where it can't have one."""
        simulated = [name for name, vm in peer.vms.items() if not vm.files]
        if simulated and self.random.random() < 0.7:
            return self.random.choice(simulated)
        name = peer.name()
        shortage = self.model.shortage("vms", 1, peer)
        params = {"vm": name, "backend": "simulated"}
        if self._granted(peer, shortage, peer.ask("vm.create", params)[1], set()):
            peer.vms[name] = VM()
            return name
        return self.random.choice(simulated) if simulated else None

    def _granted(
        self, peer: Peer, shortage: Optional[str], refusal: Optional[str], others: Set[str]
    ) -> bool:
        """Whether a request was granted, which must be so unless there is a shortage."""
        if refusal == shortage or refusal in others:
            return refusal is None
        raise BrokenPromise(f"user {peer.uid}: refused by {refusal}, expected is {shortage}")

    def create_vms(self, peer: Peer) -> None:
        """Many VMs without slots."""
        for _ in range(self.random.choice([16, 300])):
            name = peer.name()
            params = {"vm": name, "backend": "simulated"}
            shortage = self.model.shortage("vms", 1, peer)
            if not self._granted(peer, shortage, peer.ask("vm.create", params)[1], set()):
                return
            peer.vms[name] = VM()

    def _slots(self, count: int) -> Slots:
        """Slots of one GiB that log, some with the same memory behind all of them."""
        shift, alias = self.random.randint(0, 3) << 12, self.random.random() < 0.5
        return [
            {
                "guestPhysicalAddress": (number << 31) + shift,
                "size": 1 << 30,
                "userspaceAddress": 0x10000 + (0 if alias else number << 31),
                "flags": ["log-dirty-pages"],
            }
            for number in range(count)
        ]

    def _submit(self, peer: Peer, name: str, slots: Slots) -> bool:
        more = len(slots) - peer.vms[name].slots
        shortage = self.model.shortage("slots", more, peer) if more > 0 else None
        refusal = peer.ask("memslots.submit", {"vm": name, "slots": slots})[1]
        granted = self._granted(peer, shortage, refusal, BYTES)
        if granted:
            peer.vms[name].slots, peer.vms[name].logs = len(slots), True
        return granted

    def submit(self, peer: Peer) -> None:
        """An array of up to all slots that a VM can have."""
        name = self._vm(peer)
        if name is not None:
            most = self.random.choice([0, 16, 2_000, 20_000])
            self._submit(peer, name, self._slots(self.random.randint(0, most)))

    def submit_at_once(self, peer: Peer) -> None:
        """Large arrays for several VMs at the same time: together they exceed the limit."""
        drawn = [self._vm(peer) for _ in range(8)]
        names = [name for name in dict.fromkeys(drawn) if name is not None]
        clients = [memslots.Client(sock=connect(peer.path, peer.uid)) for _ in names]
        count = self.model.limits["slotsPerPeer"] // 4
        pages = [
            {"guestPhysicalAddress": number << 12, "size": 4096, "userspaceAddress": 1 << 20}
            for number in range(count)
        ]

        def submit(client: memslots.Client, name: str) -> Optional[int]:
            try:
                client.call("memslots.submit", {"vm": name, "slots": pages}, timeout=PATIENCE)
                return count
            except memslots.RequestTimeoutError as error:
                raise BrokenPromise(f"user {peer.uid}: {error}") from error
            except memslots.MemslotsError:
                return None
            finally:
                client.close()

        # Nobody may wait behind unread replies: what was granted must be known.
        peer.close([quiet for quiet in peer.quiet if quiet.is_owed])
        with concurrent.futures.ThreadPoolExecutor(len(clients) or 1) as pool:
            for name, granted in zip(names, pool.map(submit, clients, names)):
                if granted is not None:
                    peer.vms[name].slots, peer.vms[name].logs = granted, False

    def make_receipts(self, peer: Peer) -> None:
        """Transactions whose receipts outlive their slots."""
        name = self._vm(peer)
        if name is None:
            return
        for _ in range(self.random.randint(1, 8)):
            self._submit(peer, name, self._slots(self.random.randint(0, 500)))
        self._submit(peer, name, [])

    def write_pages(self, peer: Peer) -> None:
        """Writes to pages that many slots map, and a read of the log."""
        name = self._vm(peer)
        if name is None or not peer.vms[name].slots or not peer.vms[name].logs:
            return
        for _ in range(self.random.randint(1, 64)):
            page = self.random.randint(4, (1 << 18) - 256)
            address = (self.random.randrange(peer.vms[name].slots) << 31) + (page << 12)
            params = {"vm": name, "guestPhysicalAddress": address, "size": 400_000}
            refusal = peer.ask("guest.touch", params)[1]
            self._granted(peer, None, refusal, BYTES)
        clear = self.random.random() < 0.5
        peer.ask("dirtylog.get", {"vm": name, "slot": 0, "clear": clear})

    def create_memory(self, peer: Peer) -> None:
        """Memory objects, made by the daemon and passed to it."""
        name = self._vm(peer)
        if name is None:
            return
        for _ in range(self.random.choice([1, 16, 64, 1_000])):
            memory = peer.name()
            shortage = self.model.shortage("memories", 1, peer)
            params: Dict[str, Any] = {"vm": name, "memory": memory}
            size, files = memslots.PAGE_SIZE, []
            if self.random.random() < 0.2:
                files = [peer.memory]
                params["fd"] = 0
            else:
                size <<= self.random.choice([0, 20])
                params.update(size=size, backing="memfd")
            if self._granted(peer, shortage, peer.ask("memory.create", params, files)[1], set()):
                peer.vms[name].memories[memory] = size

    def submit_to_kvm(self, peer: Peer) -> None:
        """Slots of which the kernel keeps more the larger they are, in a VM of KVM."""
        name, memory, size = peer.name(), peer.name(), 1 << self.random.randint(30, 36)
        if self.model.shortage("vms", 1, peer) or self.model.shortage("memories", 1, peer):
            return
        peer.ask("vm.create", {"vm": name, "backend": "kvm"})
        params = {"vm": name, "memory": memory, "size": size, "backing": "memfd"}
        self._granted(peer, None, peer.ask("memory.create", params)[1], set())
        slot = {"slot": 0, "guestPhysicalAddress": 1 << 32, "size": size, "memory": memory}
        params = {"vm": name, "slots": [dict(slot, flags=["log-dirty-pages"])]}
        kernel = (peer.ask("memslots.plan", params)[0] or {}).get("kernelMemory")
        shortage = self.model.shortage("slots", 1, peer)
        if not shortage and kernel is not None:
            shortage = self.model.shortage("kernelMemory", kernel, peer)
        receipt, refusal = peer.ask("memslots.submit", params)
        peer.vms[name] = VM(memories={memory: size}, files=KVM_FILES)
        if self._granted(peer, shortage, refusal, BYTES) and receipt is not None:
            peer.vms[name].slots, peer.vms[name].kernel = 1, receipt["kernelMemory"]

    def destroy_vm(self, peer: Peer) -> None:
        """The end of a VM, while other connections still use it."""
        if not peer.vms:
            return
        name = self.random.choice(list(peer.vms))
        quiet = peer.connect()
        quiet.is_owed = True
        quiet.send(line("memslots.get", vm=name) * self.random.randint(0, 32))
        peer.ask("vm.destroy", {"vm": name})
        del peer.vms[name]

    def leave_in_the_middle(self, peer: Peer) -> None:
        """Ephemeral VMs whose connection ends while they are changed."""
        quiet = peer.connect()
        name = peer.name()
        change = line("memslots.submit", vm=name, slots=self._slots(self.random.randint(1, 200)))
        quiet.send(line("vm.create", vm=name, backend="simulated", ephemeral=True) + change * 4)
        peer.close([quiet])

    # ---- Descriptors that can't be closed

    def linger(self, peer: Peer) -> None:
        """TCP sockets whose last ``close()`` waits, on connections that end."""
        for _ in range(self.random.randint(1, 3)):
            file = LingeringSocket()
            quiet = peer.connect()
            # Stopped until this process has closed its own copy: the last one to close waits.
            os.kill(self.model.pid, signal.SIGSTOP)
            try:
                if not quiet.send(line("server.info"), [file.fileno()]):
                    # The daemon had closed the connection: this copy is the last.
                    file.reset()
                file.close_own()
            finally:
                os.kill(self.model.pid, signal.SIGCONT)
            peer.lingering.append(file)
            peer.close([quiet])

    def hang(self, peer: Peer) -> None:
        """Files of a file system that does not reply: no signal ends their ``close()``."""
        if peer.hung is not None:
            return peer.release_hung()
        count = self.random.randint(1, 8)
        if self.model.shortage("connections", count + 8, peer):
            return
        leaves = self.random.random() < 0.5
        script = os.path.join(os.path.dirname(__file__), "hang.py")
        words = [sys.executable, script, peer.path, str(peer.uid), str(count), "leave" * leaves]
        peer.hung = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert peer.hung.stdout is not None
        if peer.hung.stdout.readline() != b"done\n":
            raise BrokenPromise(f"user {peer.uid}: descriptors that hang were not received")
        peer.hung_connections, peer.hanging = count, count if leaves else 0

    # ---- The end

    def mix(self) -> None:
        """Leaves something of everything."""
        for peer in self.model.peers:
            for attack in dict.fromkeys(self._all):
                if attack != self.disconnect:
                    attack(peer)
