"""SQLAlchemy in handlers and jobs: an ``AsyncSession`` in their own transaction. The extra ``sqlalchemy``.

    from reactor.sqlalchemy import session

    @app.on("invoice.created")
    async def remind(event: Event[Any], ctx: Context) -> None:
        async with session(ctx) as db:
            invoice = await db.get_one(Invoice, event.subject_id)
            invoice.reminded_at = func.now()

SQLAlchemy's own asyncpg dialect does the work. What it takes for the driver's connection is ``ctx.db``
(:mod:`reactor.sqlalchemy.driver`), and what it takes for transactions are savepoints there.
"""

try:
    import sqlalchemy as _sqlalchemy
except ImportError as error:
    raise ImportError("reactor.sqlalchemy needs SQLAlchemy: pip install 'reactor[sqlalchemy]'") from error

from reactor.sqlalchemy.session import session

__all__ = ["session"]

del _sqlalchemy
