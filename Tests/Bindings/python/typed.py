"""A program of a user, for mypy --strict: every expression has the type that is written here."""

import asyncio
from typing import Optional, Tuple

import memslots
from memslots import Flags, Place, Receipt, Report, Slot, Snapshot, Table, aio, events
from memslots.pytest_plugin import MemslotRun


def test_table(memslot_vm: Table) -> None:
    receipt: Receipt = memslot_vm.submit([Slot(0, 4096, 0x1000, Flags.READONLY)])
    array: Snapshot = memslot_vm.get()
    place: Optional[Place] = memslot_vm.translate(0)
    parts: Tuple[Slot, ...] = array[0].split(4096)
    print(receipt.operations[0].kind, place, parts)


def test_run(memslot_run: MemslotRun) -> None:
    report: Report = memslot_run("vmm", "-m", "256", atomic=True, options=["--gap-ms", "50"])
    memslot_run("vmm", atmic=True)  # type: ignore[call-arg]
    report.assert_no_hole(allow_unknown=True)


def test_daemon(memslot_daemon: memslots.Daemon) -> None:
    with memslot_daemon.client as client, client.vm("demo") as vm, client.events(vm) as stream:
        committed: events.Committed = stream.wait_for(events.Committed)
        generation: int = committed.receipt.generation
        try:
            vm.submit([], expected_generation=generation)
        except memslots.GenerationConflictError as error:
            present: Optional[int] = error.generation
            print(present)


async def main() -> None:
    async with aio.connect() as client, client.vm("demo") as vm:
        receipt: Receipt = await vm.submit([])
        async for event in client.events():
            print(event.vm, receipt)


if __name__ == "__main__":
    asyncio.run(main())
