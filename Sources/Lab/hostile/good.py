"""A good client: it must be served, whatever the others do."""

from __future__ import annotations

import json
import os
import select
import time
from dataclasses import dataclass
from typing import List

import memslots
from kernel import connect
from peers import BrokenPromise

MEDIAN = 30
"""How many times as long as alone the median of its round trips may take."""
SLOW = 2_000
"""How many times as long as the median alone 99 of 100 round trips may take."""
TIMEOUT = 60
"""Seconds after which it is not served."""
ALONE = 400
"""Round trips that are measured before the attack."""
PAUSE = 0.003
"""Seconds between two round trips."""


@dataclass(frozen=True)
class Times:
    """Round trips in seconds."""

    count: int
    median: float
    p99: float
    longest: float

    @classmethod
    def of(cls, times: List[float]) -> Times:
        """The figures of round trips."""
        ranks = sorted(times)
        return cls(len(times), ranks[len(ranks) // 2], ranks[len(ranks) * 99 // 100], ranks[-1])


class GoodClient:
    """A process with a VM, which it reads and changes on one connection all the time."""

    def __init__(self, path: str, uid: int) -> None:
        self._stop = os.pipe()
        self._report = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            os.close(self._stop[1])
            status = 1
            try:
                self._run(path, uid)
                status = 0
            finally:
                os._exit(status)
        os.close(self._stop[0])
        os.close(self._report[1])
        self._reports = os.fdopen(self._report[0], encoding="utf-8")
        self.alone = self._next()

    def end(self) -> Times:
        """Ends it, and returns its round trips during the attack.

        :raises BrokenPromise: it was not served, or took too long.
        """
        os.close(self._stop[1])
        times = self._next()
        os.waitpid(self.process, 0)
        if times.median > MEDIAN * self.alone.median:
            raise BrokenPromise(
                f"the good client's median is {times.median / self.alone.median:.0f} times that alone"
            )
        if times.p99 > SLOW * self.alone.median:
            raise BrokenPromise(
                f"one of 100 round trips of the good client takes {times.p99:.2f} s, alone the median"
                f" is {self.alone.median * 1e6:.0f} us"
            )
        return times

    def _next(self) -> Times:
        line = self._reports.readline()
        if not line:
            raise BrokenPromise("the good client was not served: see its error above")
        return Times(**json.loads(line))

    def _run(self, path: str, uid: int) -> None:
        client = memslots.Client(sock=connect(path, uid), timeout=TIMEOUT)
        generation = 0
        client.call("vm.create", {"vm": "good", "backend": "simulated"})

        def trip(number: int) -> float:
            """A compare-and-swap every eighth time, else a read: the reply must be right."""
            nonlocal generation
            slot = {"slot": 0, "guestPhysicalAddress": 4096 * (generation % 2)}
            begun = time.monotonic()
            if number % 8 == 0:
                slots = [dict(slot, size=4096, userspaceAddress=1 << 20)]
                params = {"vm": "good", "slots": slots, "expectedGeneration": generation}
                reply = client.call("memslots.submit", params)
                generation += 1
            else:
                reply = client.call("memslots.get", {"vm": "good"})
            seconds = time.monotonic() - begun
            if reply["generation"] != generation:
                raise BrokenPromise(f"the reply has {reply['generation']}, not {generation}")
            return seconds

        def report(times: List[float]) -> None:
            text = json.dumps(Times.of(times).__dict__) + "\n"
            os.write(self._report[1], text.encode())

        report([trip(number) for number in range(ALONE)])
        times: List[float] = []
        while not select.select([self._stop[0]], [], [], PAUSE)[0]:
            times.append(trip(len(times)))
        report(times or [trip(0)])
        # The VM stays: the daemon ends with it.
