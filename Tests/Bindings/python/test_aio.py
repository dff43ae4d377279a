"""The client for asyncio."""

import asyncio
import gc
import inspect
import os
import socket

import memslots
import pytest
from conftest import slots
from memslots import aio, events


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def test_every_method_of_the_schema(schema, memslot_daemon):
    async def main():
        async with aio.connect(memslot_daemon.socket, timeout=20) as client:
            assert (await client.info()).name == "memslots"
            vm = await client.create_vm("web", backend="simulated")
            assert vm.capabilities.max_slots == 32764 and len(await client.vms()) == 1
            await vm.create_memory("ram", 1 << 20)
            assert len(await vm.memories()) == 1
            descriptor = await vm.export_memory("ram")
            await vm.adopt_memory("again", descriptor)
            os.close(descriptor)
            await client.subscribe("web")
            array = slots(2, flags=memslots.Flags.LOG_DIRTY_PAGES)
            plan = await vm.plan(array)
            assert (await vm.submit(array, expected_generation=0)).operations == plan.operations
            assert isinstance(await client.next_event(10), events.Committed)
            assert len(await vm.get()) == 2 and len(await vm.history(last=1)) == 1
            assert (await vm.translate(4)).offset == 4 and len(await vm.translate_range(0, 8)) == 1
            await vm.touch(0x1000)
            assert list(await vm.dirty_log(0)) == [1]
            await vm.inject_fault(0)
            with pytest.raises(memslots.RolledBackError):
                await vm.submit([])
            await vm.clear_faults()
            assert await vm.recover() == 1 and (await client.metrics()).gauges["slots"] == 2
            assert (await vm.update(lambda old: list(old)[:1])).generation == 2
            await vm.submit([])
            hung_up, ours = socket.socketpair()
            ours.close()
            with hung_up, pytest.raises(memslots.MemslotsError):
                await vm.attach_observer("disk", hung_up.fileno())
            assert await vm.observers() == ()
            with pytest.raises(memslots.NotFoundError):
                await vm.detach_observer("disk")
            await vm.destroy_memory("ram")
            await client.unsubscribe()
            await vm.destroy()
            with pytest.raises(memslots.UnavailableError):
                await client.set_atomic(True)

    run(main())
    refused = {"run.setAtomic", "observer.attach", "observer.detach"}
    assert schema.called == schema.methods and schema.replied == schema.methods - refused


def test_it_has_the_methods_and_parameters_of_the_synchronous_client():
    compared = 0
    for sync, other in [
        (memslots.Client, aio.AsyncClient),
        (memslots.VM, aio.AsyncVM),
        (memslots.EventStream, aio.AsyncEventStream),
    ]:
        for name, member in vars(sync).items():
            if name.startswith("_"):
                continue
            counterpart = getattr(other, name)
            assert isinstance(member, property) == isinstance(counterpart, property), name
            if inspect.isfunction(member):
                compared += 1
                assert list(inspect.signature(member).parameters) == list(
                    inspect.signature(counterpart).parameters
                ), name
    assert compared > 35


def test_memory_faults_and_the_generation(memslot_daemon):
    async def main():
        async with (
            aio.connect(memslot_daemon.socket) as client,
            client.vm("demo", backend="simulated") as vm,
        ):
            await vm.create_memory("ram", 1 << 20)
            with await vm.map_memory("ram") as one, await vm.map_memory("ram") as other:
                one[0:5] = b"guest"
                assert other[0:5] == b"guest"
            await vm.submit(slots(2))
            vm.generation  # A debugger may show it: nothing is sent, and nothing warns.
            assert await vm.generation == 1
            await vm.assert_survives_fault(slots(3, size=0x8000))
            await vm.assert_survives_fault(slots(3, size=0x8000), at=range(2), errno="EAGAIN")
            with pytest.raises(AssertionError, match="there is no call 9: the change has 5 calls"):
                await vm.assert_survives_fault(slots(3, size=0x8000), at=9)
            assert await vm.generation == 1

            async def other_errno(operation, number):
                await aio.AsyncVM.inject_fault(vm, operation, "EIO")

            vm.inject_fault = other_errno
            with pytest.raises(AssertionError, match="but the error has EIO"):
                await vm.assert_survives_fault(slots(1), at=0)

    run(main())


def sockets():
    """How many sockets this process has open."""
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
        except FileNotFoundError:
            pass  # The listing's own.
    return count


@pytest.mark.filterwarnings("error")
def test_a_cancelled_loop_over_events_closes_its_connection(memslot_daemon):
    async def main():
        async with (
            aio.connect(memslot_daemon.socket) as client,
            client.vm("demo", backend="simulated") as vm,
        ):
            before, began = sockets(), asyncio.Event()

            async def follow():
                async for _ in vm.events():
                    began.set()

            task = asyncio.create_task(follow())
            await asyncio.sleep(0)
            await vm.create_memory("ram", 1 << 20)
            while not began.is_set():
                await vm.submit(slots(1 + await vm.generation % 2))
            assert sockets() == before + 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0)
            assert sockets() == before and task.cancelled()
            # A stream that is still referred to goes on after a wait that was cancelled.
            stream = vm.events()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(stream.next(None), 0.05)
            await vm.submit([])
            assert isinstance(await stream.next(10), events.Committed)
            assert repr(stream) == "<AsyncEventStream of 'demo'>"
            await stream.close()
            assert repr(stream) == "<ended AsyncEventStream of 'demo'>"

    run(main())
    gc.collect()


@pytest.mark.filterwarnings("error")
def test_a_wrong_descriptor_is_one_refused_request(memslot_daemon):
    async def main():
        async with aio.connect(memslot_daemon.socket) as client:
            vm = await client.create_vm("demo", backend="simulated")
            before = len(os.listdir("/proc/self/fd"))
            for wrong in [9999, -1, 1 << 40]:
                with pytest.raises(memslots.InvalidRequestError):
                    await vm.adopt_memory("wrong", wrong)
                with pytest.raises(memslots.InvalidRequestError):
                    params = {"vm": "demo", "memory": "m", "fd": 0}
                    await client.call("memory.create", params, fds=[0, wrong])
            with pytest.raises(TypeError):
                await vm.adopt_memory("wrong", "x")
            assert await vm.generation == 0 and len(os.listdir("/proc/self/fd")) == before

    run(main())


@pytest.mark.filterwarnings("error")
def test_another_event_loop_is_refused_until_it_connects(memslot_daemon):
    async def connect():
        return await aio.connect(memslot_daemon.socket).open()

    client = run(connect())

    async def use():
        with pytest.raises(memslots.ClosedError, match="another event loop"):
            await client.vms()
        with pytest.raises(memslots.ClosedError, match="another event loop"):
            await client.notify("vm.list")
        await client.reconnect()
        assert await client.vms() == ()
        await client.close()
        client.close()
        with pytest.raises(memslots.ClosedError):
            await client.vms()

    run(use())
    gc.collect()


def test_a_wait_ends_in_time_though_other_events_come(memslot_daemon):
    async def main():
        async with (
            aio.connect(memslot_daemon.socket) as client,
            client.vm("demo", backend="simulated") as vm,
        ):
            await vm.create_memory("ram", 1 << 20)
            async with vm.events() as stream:

                async def change():
                    for count in range(2000):
                        await vm.submit(slots(count % 3 + 1))
                        await asyncio.sleep(0.02)

                task = asyncio.create_task(change())
                with pytest.raises(memslots.RequestTimeoutError, match="no Failed within 0.3 s"):
                    await stream.wait_for(events.Failed, timeout=0.3)
                assert not task.done()
                task.cancel()

    run(main())


def test_a_stream_beside_requests(memslot_daemon):
    async def main():
        async with (
            aio.connect(memslot_daemon.socket) as client,
            client.vm("demo", backend="simulated") as vm,
        ):
            await vm.create_memory("ram", 1 << 20)

            async def follow(stream):
                return [event async for event in stream]

            async with client.events(vm="demo", timeout=20) as stream:
                assert stream.snapshot.generation == 0
                follower = asyncio.create_task(follow(stream))
                await asyncio.gather(
                    *(vm.update(lambda a: [*a, *slots(1, first=len(a) << 30)]) for _ in range(5))
                )
                await vm.destroy()
                seen = await follower
            assert [type(event) for event in seen] == [events.Committed] * 5 + [events.Destroyed]
            async with client.events(timeout=0.01) as stream:
                with pytest.raises(memslots.RequestTimeoutError):
                    await stream.__anext__()

    run(main())


def test_a_cancelled_or_late_request_leaves_the_connection_usable(pair):
    from conftest import Server

    def script(server):
        late, _ = server.ask()
        cancelled, _ = server.ask()
        request, _ = server.ask()
        for answered in [late, cancelled, request]:
            server.reply(answered, {"vms": []})

    server = Server(pair[1], script)

    async def main():
        async with aio.AsyncClient(sock=pair[0], timeout=0.05) as client:
            with pytest.raises(memslots.RequestTimeoutError):
                await client.vms()
            client.timeout = 20
            task = asyncio.create_task(client.call("x", {"pad": "p" * (4 << 20)}))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await client.vms() == ()

    run(main())
    server.finish()


def test_lost_and_again(memslot_daemon):
    async def main():
        client = await aio.connect(memslot_daemon.socket).open()
        await client.vms()
        memslot_daemon.kill()
        with pytest.raises(memslots.ConnectionLostError):
            await client.vms()
        memslot_daemon.start()
        await client.reconnect(wait=5)
        assert await client.vms() == ()
        client.close()
        with pytest.raises(memslots.ClosedError):
            await client.reconnect()
        with pytest.raises(memslots.ConnectError):
            await aio.connect(memslot_daemon.socket + "x").open()
        with pytest.raises(memslots.ClosedError, match="not connected"):
            await aio.connect(memslot_daemon.socket).vms()

    run(main())


@pytest.mark.memslotd("--max-queued-events", "8")
def test_events_that_nobody_reads_are_dropped_by_the_server_and_counted(
    memslot_daemon, monkeypatch
):
    monkeypatch.setattr(aio._connection, "QUEUED_EVENTS", 4)

    async def main():
        async with (
            aio.connect(memslot_daemon.socket) as client,
            client.vm("demo", backend="simulated") as vm,
        ):
            await vm.create_memory("ram", 32 << 20)
            async with client.events(vm="demo", timeout=30) as stream:
                for count in range(100):
                    await vm.submit(slots(400 - count % 2))
                kinds = [type(await stream.__anext__())]
                while kinds[-1] is events.Committed:
                    kinds.append(type(await stream.__anext__()))
                assert kinds[-1] is events.Dropped and 5 <= len(kinds) < 90

    run(main())
