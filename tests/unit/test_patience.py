"""The tests' own limits: strict on an idle machine, longer on a busy one."""

import asyncio
import time

import pytest

from tests.patience import patience


async def test_a_limit_ends_what_never_comes() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with patience(0.2):
            await asyncio.Event().wait()
    assert time.monotonic() - began >= 0.2


async def test_time_that_this_process_was_kept_from_working_is_not_counted() -> None:
    async with patience(0.2):
        for _ in range(3):
            time.sleep(0.1)  # as if others had the processor
            await asyncio.sleep(0)
            await asyncio.sleep(0.011)


async def test_what_this_process_computes_is_counted() -> None:
    async def compute() -> None:
        async with patience(0.2):
            for _ in range(4):
                until = time.process_time() + 0.1
                while time.process_time() < until:
                    pass
                await asyncio.sleep(0.011)
            await asyncio.Event().wait()

    began = time.process_time()
    with pytest.raises(TimeoutError):
        await compute()
    assert time.process_time() - began < 0.4


async def test_however_busy_the_machine_is_it_ends() -> None:
    async def work() -> None:
        async with patience(0.1):
            while True:
                time.sleep(0.05)  # as if others had the processor
                await asyncio.sleep(0.011)

    with pytest.raises(TimeoutError):
        await work()
