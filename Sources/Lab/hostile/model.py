"""What each user may hold, and whether the daemon and the kernel agree."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import List, Mapping, Optional

import memslots
from kernel import Usage, connect
from peers import PATIENCE, WAIT, Bounds, BrokenPromise, Peer

THREAD_MARGIN = 8
"""Threads that wait for a next connection."""
MEMORY_MARGIN = 64 << 20
"""Bytes of anonymous memory beyond the most that was counted so far: freed memory stays in the C
library's heaps until the daemon is idle. Then this is beyond what is counted now."""

COUNTED = {
    "connections": "connectionBytes",
    "threads": "threadBytes",
    "vms": "vmBytes",
    "slots": "slotBytes",
    "memories": "memoryObjectBytes",
    "subscriptions": "subscriptionBytes",
    "observers": "observerBytes",
}
BUDGETS = ["requestBytes", "unreadReplyBytes", "eventBytes", "dirtyBytes", "receiptBytes"]


class Model:
    """The users of a daemon. The monitor asks for their figures on a connection of its own."""

    def __init__(self, monitor: memslots.Client, monitor_uid: int, good_uid: int) -> None:
        info = monitor.info()
        self.monitor, self.pid, self.limits = monitor, info.pid, info.limits
        self.peers: List[Peer] = []
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            self.server_uid = int(file.read().split("Uid:")[1].split()[1])
        self._uids = (monitor_uid, good_uid)
        self._good = {"connections", "vms", "slots"}
        self.base = Usage.of(self.pid)
        threads = sum(gauges["threads"] for gauges in self.reported().values())
        self._base_threads = self.base.threads - threads
        self.peak = self.base.anonymous
        self._most_counted = 0
        self.checks = 0

    def reported(self) -> Mapping[int, Mapping[str, int]]:
        """What the daemon says that each user holds.

        :raises BrokenPromise: it does not say it, though nothing is unread.
        """
        is_own = any(peer.uid in self._uids for peer in self.peers)
        for seconds in (5, PATIENCE) if is_own else (PATIENCE,):
            try:
                wire = self.monitor.call("metrics.get", timeout=seconds)
                return {one["user"]: one["gauges"] for one in wire["users"]}
            except (memslots.RequestTimeoutError, memslots.LimitExceededError):
                # Of the same user, it waits as that user's requests do.
                for peer in self.peers:
                    peer.close([quiet for quiet in peer.quiet if quiet.is_owed or quiet.half])
        raise BrokenPromise("metrics.get has no reply")

    def shortage(self, name: str, amount: int, peer: Peer) -> Optional[str]:
        """The limit that must refuse `amount` more to a peer; None where it must be granted."""
        limits = self.limits
        if amount > limits[name + "PerPeer"] - peer.held(name) - self._others_of(peer.uid, name):
            return name + "PerPeer"
        reserve = 0 if peer.uid in (0, self.server_uid) else limits[name] // 32
        held = sum(one.held(name) for one in self.peers) + self._others(name)
        return name if amount > limits[name] - reserve - held else None

    def _others_of(self, uid: int, name: str) -> int:
        """What the monitor and the good client hold as this user."""
        monitor, good = self._uids
        of_monitor = 1 if name == "connections" else 0
        of_good = 1 if name in self._good else 0
        return of_monitor * (uid == monitor) + of_good * (uid == good)

    def _others(self, name: str) -> int:
        return sum(self._others_of(uid, name) for uid in set(self._uids))

    def end_good_client(self) -> None:
        """The good client's connection has ended; its VM stays."""
        self._good.remove("connections")
        self.base = replace(self.base, descriptors=self.base.descriptors - 1)

    def settle(self, is_idle: bool = False) -> None:
        """Waits until the daemon is at rest, and what it reports is what the model and the kernel say.

        A connection that has gone stays while its reply waits behind unread ones of its user, as
        documented. So after some time those with unread replies end.

        :param is_idle: whether nobody sends requests: the daemon then gives freed memory back.
        :raises BrokenPromise: it does not become so.
        """
        start = time.monotonic()
        owed_end = False
        pause, difference = 0.002, self._difference()
        if is_idle:
            # After a line of more than a megabyte.
            self.monitor.notify("vm.list", {"padding": "x" * (1 << 20)})
            self._most_counted = 0
            difference = "the daemon has not been idle"
        while difference:
            if time.monotonic() > start + PATIENCE:
                raise BrokenPromise(difference)
            if not owed_end and time.monotonic() > start + WAIT:
                owed_end = True
                for peer in self.peers:
                    peer.close([quiet for quiet in peer.quiet if quiet.is_owed])
            # The daemon sees that an abandoned connection is gone when the next one comes.
            connect(self.monitor.path or "", self._uids[0]).close()
            time.sleep(pause)
            pause = min(pause * 1.3, 0.25)
            difference = self._difference()
        self.checks += 1

    def _difference(self) -> Optional[str]:
        usage = Usage.of(self.pid)
        self.peak = max(self.peak, usage.anonymous)
        if usage.anonymous > self.limits["memoryLimit"]:
            raise BrokenPromise(
                f"{usage.anonymous} bytes of anonymous memory, the limit is"
                f" {self.limits['memoryLimit']}"
            )
        held = self.reported()
        for peer in self.peers:
            for name, bounds in peer.expected().items():
                others = self._others_of(peer.uid, name)
                reported = held[peer.uid][name]
                if peer.uid in self._uids and name in BUDGETS:
                    # The good client is the same user.
                    bounds = Bounds(bounds.least, reported)
                if not bounds.least + others <= reported <= bounds.most + others:
                    expected = f"{bounds.least + others} to {bounds.most + others}"
                    return f"user {peer.uid}: {name} is {reported}, expected is {expected}"
        total = {
            name: sum(gauges[name] for gauges in held.values()) for name in next(iter(held.values()))
        }
        for name, value in total.items():
            # The newest receipt of a user may be larger than its share.
            share = self.limits.get(name + "PerPeer", value) if name != "receiptBytes" else value
            most = max(gauges[name] for gauges in held.values())
            if value > self.limits.get(name, value) or most > share:
                raise BrokenPromise(f"{name} is {value}, and {most} of one user: more than the limit")
        return self._kernel_difference(usage, total)

    def _kernel_difference(self, usage: Usage, total: Mapping[str, int]) -> Optional[str]:
        files = self.base.descriptors + sum(peer.descriptors() for peer in self.peers)
        # An end of the receiver's channel, and its pidfd; one that hangs has the latter only.
        hanging = sum(peer.hanging for peer in self.peers)
        files += 2 * usage.receivers - hanging
        if usage.descriptors != files:
            return f"{usage.descriptors} descriptors are open, {files} are counted"
        threads = self._base_threads + total["threads"]
        if not threads - 1 <= usage.threads <= threads + THREAD_MARGIN:
            return f"{usage.threads} threads run, {threads} are counted"
        counted = sum(total[name] * self.limits[size] for name, size in COUNTED.items())
        counted += sum(total[name] for name in BUDGETS)
        self._most_counted = max(self._most_counted, counted)
        if usage.anonymous > self.base.anonymous + self._most_counted + MEMORY_MARGIN:
            return (
                f"{usage.anonymous - self.base.anonymous} bytes of anonymous memory were added,"
                f" at most {self._most_counted} were counted"
            )
        return None
