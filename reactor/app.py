"""``Reactor``: what an application registers its handlers with, and the composition root that runs them."""

import inspect
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from types import ModuleType
from typing import Any, TypeVar

import anyio
import structlog
from anyio.abc import TaskStatus
from pydantic import BaseModel

from reactor import process
from reactor.databases import run_each
from reactor.engine.drain import AFTERWARDS
from reactor.engine.outcome import ALERT_EVENT
from reactor.errors import BadArgument
from reactor.handlers import HandlerSet, Job, Middleware, Subscription, parse_duration
from reactor.lifespans import Lifespan, check_lifespan, entered
from reactor.replica import Replica
from reactor.settings import Settings, load
from reactor.telemetry import names, tracing
from reactor.web.dashboard import serve_site
from reactor.web.server import address_of, bind

log = structlog.get_logger("reactor.app")

F = TypeVar("F", bound=Callable[..., Any])
#: Of a periodic job: a date has an end, and a deadline beyond it would stop the timer for all jobs.
_LONGEST_INTERVAL = timedelta(days=3653)


class Reactor:
    """An app: event types and their handlers, periodic jobs, middleware and the resources that they share.

    ``lifespan`` is an async context manager function of the settings; what it yields is ``ctx.resources``.
    """

    def __init__(self, *, lifespan: Lifespan | None = None) -> None:
        if lifespan is not None:
            check_lifespan(lifespan)
        self.handlers = HandlerSet()
        self.jobs: list[Job] = []
        self._lifespans: list[Lifespan] = [lifespan] if lifespan is not None else []
        self._replicas: list[Replica] = []
        self._running = 0
        self._http_address: str | None = None

    def on(
        self,
        event_type: str,
        *,
        model: type[BaseModel] | None = None,
        batch: int | None = None,
        max_attempts: int | None = None,
        timeout: timedelta | str = timedelta(seconds=60),
        priority: int = 0,
        gated: bool = False,
        concurrency: int | None = None,
        name: str | None = None,
    ) -> Callable[[F], F]:
        """Register a handler.

        model         what the payload must fit; an event that does not is dead at once
        batch         the handler takes a list of up to so many events of one tenant
        max_attempts  failed tries until the event is dead; default: the setting
        timeout       of one call; at its end the handler is cancelled, which counts as a failure
        priority      several handlers of one type run in this order, in one transaction
        gated         wait while the kill switch or the tenant is off
        concurrency   at most so many tenants at once in a replica
        name          in errors and logs, unique within the type; default: module and function
        """
        named: object = event_type
        if not isinstance(named, str):
            # `@app.on` without its parentheses gets the function itself.
            raise BadArgument(
                f"an event type is text, not {named!r:.80}", hint='write it as @app.on("invoice.paid")'
            )
        if not 1 <= len(event_type) <= 200:
            shown = f"{event_type[:20]}…" if event_type else event_type
            raise BadArgument(
                f"an event type has 1 to 200 characters, {shown!r} has {len(event_type)}",
                hint="name what happened, e.g. invoice.paid; what it is about goes into the payload",
            )
        for what, number in (("batch", batch), ("max_attempts", max_attempts), ("concurrency", concurrency)):
            if number is not None:
                _check_whole(f"{what} of {event_type}", number, least=1)
        _check_whole(f"priority of {event_type}", priority)
        _check_model(event_type, model)
        limit = _duration(f"timeout of {event_type}", timeout)

        def register(function: F) -> F:
            _check_call(function, "events, ctx" if batch else "event, ctx")
            self.handlers.add(
                Subscription(
                    event_type=event_type,
                    function=function,
                    name=name or _name_of(function),
                    model=model,
                    batch=batch,
                    max_attempts=max_attempts,
                    timeout=limit,
                    priority=priority,
                    gated=gated,
                    concurrency=concurrency,
                )
            )
            return function

        return register

    def every(
        self,
        interval: timedelta | str,
        *,
        name: str | None = None,
        catch_up: bool = False,
        timeout: timedelta | str = timedelta(minutes=10),
    ) -> Callable[[F], F]:
        """Register a periodic job: ``async def job(ctx: JobContext)``, run by one replica, once.

        With ``catch_up``, moments that were missed while nobody ran are made good one by one.
        """
        period = _duration("interval of a periodic job", interval)
        if period > _LONGEST_INTERVAL:
            raise BadArgument(
                f"the interval of a periodic job is at most ten years, not {period.days:,} days",
                hint="leave the job out, or ask inside it whether it is time",
            )
        limit = _duration("timeout of a periodic job", timeout)

        def register(function: F) -> F:
            _check_call(function, "ctx")
            self.add_job(Job(name or _name_of(function), function, period, catch_up, limit))
            return function

        return register

    def add_job(self, job: Job) -> None:
        """What ``every`` does, for a job that is made elsewhere."""
        if any(known.name == job.name for known in self.jobs):
            raise BadArgument(f"job {job.name} is registered twice", hint="give one of them another name")
        self.jobs.append(job)

    def middleware(self, layer: Middleware) -> Middleware:
        """Wrap every handler: ``async def layer(events, ctx, call_next)``; the first one is outermost."""
        _check_call(layer, "events, ctx, call_next")
        self.handlers.middleware = (*self.handlers.middleware, layer)
        return layer

    def include(self, other: "Reactor | ModuleType") -> None:
        """Take over everything that another app registered, or a module's ``app``. Its middleware goes on to
        wrap its own handlers only. With several lifespans, ``ctx.resources`` is a Resources that has all."""
        given = other
        other = getattr(given, "app", given) if isinstance(given, ModuleType) else given
        if not isinstance(other, Reactor):
            raise BadArgument(
                f"include takes an app, not {given!r:.80}",
                hint="write it as app.include(reactor.builtin.app)",
            )
        for subscription in other.handlers:
            layers = (*other.handlers.middleware, *subscription.layers)
            self.handlers.add(replace(subscription, layers=layers))
        for job in other.jobs:
            self.add_job(job)
        self._lifespans += other._lifespans

    def resources(self, settings: Settings) -> AbstractAsyncContextManager[Any]:
        """What the lifespans give, for as long as the block lasts."""
        return entered(self._lifespans, settings)

    async def run(
        self,
        settings: Settings | None = None,
        *,
        handle_signals: bool = True,
        serve_http: bool = False,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run until SIGTERM or SIGINT (or :meth:`drain`), then drain. With ``handle_signals`` the process
        ends four seconds after the drain's time, or one after a second signal, whatever will not end before.

        With ``serve_http``, probes, metrics and the dashboard answer on REACTOR_HTTP_HOST:REACTOR_HTTP_PORT.

        Raises SettingError, ConnectError or NotMigrated when it cannot start; afterwards nothing that the
        database does ends it. Of several databases one that cannot be reached is tried again until it can.
        """
        settings = settings or load()
        self._say_what_is_missing()
        async with (
            process.last_resort(self._in_hand) as end_within,
            tracing.exporting(settings) as collector,
            self.resources(settings) as resources,
        ):
            # What a lifespan has set up counts as well.
            spans = tracing.spans(collector)
            replicas = [
                Replica(
                    dsn=dsn,
                    listen_dsn=settings.listen_dsn if len(settings.dsns) == 1 else dsn,
                    settings=settings,
                    handlers=self.handlers,
                    jobs=self.jobs,
                    resources=resources,
                    spans=spans,
                )
                for dsn in settings.dsns
            ]
            # Those of the last run are known until the next one; several may go on at once, as in a test.
            self._replicas = [*self._replicas, *replicas] if self._running else replicas
            self._running += 1
            try:
                async with anyio.create_task_group() as group:
                    if handle_signals:
                        group.start_soon(
                            self._drain_on_signal,
                            settings.drain_seconds,
                            group.cancel_scope,
                            end_within,
                            name="signals",
                        )
                    listening = bind(settings) if serve_http else None
                    if listening is not None:
                        self._http_address = address_of(listening)
                        group.start_soon(
                            serve_site,
                            listening,
                            settings,
                            lambda: [replica.health for replica in replicas],
                            name="http",
                        )
                    await run_each(replicas, settings.dsns, task_status=task_status)
                    group.cancel_scope.cancel()
            except BaseExceptionGroup as errors:
                raise _first(errors) from None
            finally:
                self._running -= 1

    def drain(self, settings: Settings | None = None) -> None:
        """Ask every replica of this process to drain, or those that run with these very settings; ``run``
        returns when they have."""
        for replica in self._replicas:
            if settings is None or replica.settings is settings:
                replica.drain()

    @property
    def was_cut_short(self) -> bool:
        """Whether a second signal ended :meth:`run` in the middle of a handler."""
        return any(replica.was_cut_short for replica in self._replicas)

    def _in_hand(self) -> process.InHand:
        return [each for replica in self._replicas for each in replica.in_hand]

    @property
    def replicas(self) -> Iterable[Replica]:
        """The replicas of this process, one a database; for its health."""
        return tuple(self._replicas)

    @property
    def http_address(self) -> str | None:
        """Where probes, metrics and the dashboard answer, for a browser of this machine."""
        return self._http_address

    def _say_what_is_missing(self) -> None:
        """Once, instead of at every event that nobody handles."""
        if not self.handlers.by_type:
            log.warning(
                names.APP_HANDLES_NOTHING,
                hint="each event that it claims is dead at once: register handlers with @app.on(…) in what "
                "the app's module imports, or run `reactor run` without --app for the built-in automations",
            )
        elif ALERT_EVENT not in self.handlers.by_type:
            log.info(
                names.ALERTS_NOT_DELIVERED,
                hint="alerts, those of dead events too, stay rows that `reactor alerts list` shows; "
                "app.include(reactor.builtin.app) delivers them",
            )

    async def _drain_on_signal(
        self, seconds: float, scope: anyio.CancelScope, end_within: Callable[[float], None]
    ) -> None:
        with anyio.open_signal_receiver(*process.SIGNALS) as signals:
            process.heed_signals(seconds + AFTERWARDS, end_within)
            asked = 0
            async for _ in signals:
                asked += 1
                if asked == 1:
                    self.drain()
                    continue
                # Twice: the user does not want to wait.
                for replica in self._replicas:
                    replica.hurry()
                await anyio.sleep(process.HURRIED)
                # Leases that are not given back by now run out.
                scope.cancel()
                return


def _name_of(function: Callable[..., Any]) -> str:
    module = getattr(function, "__module__", "")
    return f"{module}.{getattr(function, '__qualname__', repr(function))}"


def _duration(what: str, given: timedelta | str) -> timedelta:
    try:
        return parse_duration(given)
    except BadArgument as error:
        raise BadArgument(f"{what}: {error.message}", hint=error.hint) from None


def _check_whole(what: str, given: object, *, least: int | None = None) -> None:
    # What is annotated may be given otherwise all the same, and would fail at the first event.
    if not isinstance(given, int) or isinstance(given, bool):
        raise BadArgument(f"{what} is a whole number, not {given!r:.80}", hint="leave it out for its default")
    if least is not None and given < least:
        raise BadArgument(
            f"{what} must be at least {least}, not {given}", hint="leave it out for its default"
        )


def _check_model(event_type: str, model: object) -> None:
    if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise BadArgument(
            f"the model of {event_type} is a class that extends pydantic's BaseModel, not {model!r:.80}",
            hint="leave it out, and the payload is plain JSON",
        )


def _check_call(function: Callable[..., Any], arguments: str) -> None:
    """What is not async, or does not take these arguments, would fail at its first event."""
    _check_async(function)
    try:
        # A wrapper is called as itself, whatever it wraps.
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return  # nobody knows what it takes
    try:
        signature.bind(*arguments.split(", "))
    except TypeError:
        raise BadArgument(
            f"{_name_of(function)} takes {signature}, but is called with ({arguments})",
            hint=f"write it as `async def {getattr(function, '__name__', 'name')}({arguments})`",
        ) from None


def _check_async(function: Callable[..., Any]) -> None:
    """A plain ``def`` would fail at its first event; a wrapper may hide that it is async."""
    if (
        (inspect.isfunction(function) or inspect.ismethod(function))
        and not inspect.iscoroutinefunction(function)
        and not hasattr(function, "__wrapped__")
        and function.__name__ != "<lambda>"
    ):
        raise BadArgument(f"{_name_of(function)} is not async", hint="write it as `async def`")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
