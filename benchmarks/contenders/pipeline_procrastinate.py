"""procrastinate at the real work, with concurrency 50."""

import procrastinate

from benchmarks import judging


def _app(url: str) -> procrastinate.App:
    return procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))


async def fill(url: str, orders: list[tuple[str, str]]) -> None:
    app = _app(url)

    @app.task(name="order", queue="q")
    async def order(tenant: str, queue_row: str) -> None: ...

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for start in range(0, len(orders), 1000):
            some = orders[start : start + 1000]
            await order.batch_defer_async(*({"tenant": t, "queue_row": row} for t, row in some))


async def work(url: str, judge: judging.Judge) -> None:
    app = _app(url)

    @app.task(name="order", queue="q")
    async def order(tenant: str, queue_row: str) -> None:
        await judge(tenant, queue_row)

    async with app.open_async():
        await app.run_worker_async(concurrency=50, install_signal_handlers=False, delete_jobs="successful")


if __name__ == "__main__":
    judging.main(fill, work)
