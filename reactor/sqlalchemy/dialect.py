"""SQLAlchemy's dialect for asyncpg, without what it would ask or set on a new connection."""

from functools import cache
from typing import Any

from sqlalchemy import URL, Engine, NullPool
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import LRUCache

from reactor.db.json_text import to_json
from reactor.sqlalchemy.driver import Driver, refuse_options

_NAME = "postgresql+reactor"


class TenantDialect(PGDialect_asyncpg):
    """What SQLAlchemy would ask each new database is the same for all that the reactor works with."""

    supports_statement_cache = True
    driver = "reactor"
    #: the oldest that the reactor works with
    server_version_info = (15,)
    default_schema_name = "public"
    default_isolation_level = "READ COMMITTED"
    supports_smallserial = True
    # standard_conforming_strings is on wherever nobody turned it off.
    _backslash_escapes = False

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        refuse_options()


def engine_over(driver: Driver) -> AsyncEngine:
    """An engine of one handler's call. It costs no round trip, and nothing is to be disposed of."""
    template, compiled = _shared()

    async def lend(*_: object) -> Driver:
        return driver

    def connect() -> Any:
        # A statement that is kept would need a name.
        return template.dialect.connect(async_creator_fn=lend, prepared_statement_cache_size=0)

    return AsyncEngine(
        Engine(
            NullPool(connect, dialect=template.dialect),
            template.dialect,
            template.url,
            query_cache_size=0,
            execution_options={"compiled_cache": compiled},
            # Parameters are people's data, and errors are kept with the event.
            hide_parameters=True,
        )
    )


@cache
def _shared() -> tuple[Engine, LRUCache[Any, Any]]:
    """The dialect, in an engine that connects to nothing, and the statements that were compiled for it."""
    registry.register(_NAME.replace("+", "."), __name__, TenantDialect.__name__)
    # JSON as ctx.db writes it: also with numbers, and levels, that Python's own module does not keep.
    engine = create_async_engine(URL.create(_NAME), poolclass=NullPool, json_serializer=to_json)
    return engine.sync_engine, LRUCache(500)
