"""``reactor run``: the long-running process."""

import importlib
import os
import sys
from pathlib import Path

from reactor import process, settings
from reactor.app import Reactor
from reactor.errors import ReactorError, SettingError
from reactor.frames import is_ours
from reactor.telemetry import logs

BUILTIN = "reactor.builtin:app"
#: Seconds from the end of the app to that of the process.
_LAST = 1.0


async def run(*, app: str = BUILTIN) -> int:
    """Runs the reactor until SIGTERM or SIGINT.

    Then it claims nothing more, finishes what is in flight within REACTOR_DRAIN_SECONDS, releases its
    leases and exits 0. What has not ended four seconds later (a thread, a handler or job that swallows its
    cancellation) ends with the process, which then exits 4. A second signal ends it within a second, with 4
    when a handler was cut short; the log names what was.
    Probes, metrics and the dashboard answer on http://REACTOR_HTTP_HOST:REACTOR_HTTP_PORT (/livez, /readyz,
    /startupz, /metrics, /). Exits 2 when a setting or the app is wrong, 3 when the database cannot be
    reached or is not migrated.
    It logs to stderr.

    Example: ``REACTOR_DATABASE_URL=postgresql://replica@db/crm reactor run --app shop.events:app``

    Parameters
    ----------
    app
        module:attribute of a Reactor. Default: the built-in automations.
    """
    chosen = settings.load()
    logs.configure(chosen)
    found = load_app(app)
    process.tune()
    await found.run(chosen, serve_http=True)
    # The interpreter waits for every thread that somebody started.
    process.end_within(_LAST)
    return process.CUT_SHORT if found.was_cut_short else 0


def load_app(path: str) -> Reactor:
    """The Reactor at ``module:attribute``, looked for in the working directory too.

    Raises SettingError that names what is wrong: the path, the module, an import in it, the attribute.
    """
    module_name, colon, attribute = path.partition(":")
    if not colon or not module_name or not attribute:
        raise SettingError(
            f"'{path}' names no app", hint="write --app module:attribute, e.g. shop.events:app"
        )
    if module_name.endswith(".py") or "/" in module_name:
        raise SettingError(
            f"'{path}' names a file, and a module is needed",
            hint=f"write --app {_module(module_name)}:{attribute}",
        )
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise SettingError(
                f"there is no module {error.name}", hint=f"it was looked for in {folder} and in sys.path"
            ) from None
        raise SettingError(
            f"module {module_name} cannot be imported: {error}{_place(error)}",
            hint=f"install it into {sys.prefix}",
        ) from error
    except ReactorError as error:
        raise SettingError(
            f"module {module_name} cannot be imported: {error.message}{_place(error)}", hint=error.hint
        ) from error
    except Exception as error:
        raise SettingError(
            f"module {module_name} cannot be imported: {type(error).__name__}: {error}{_place(error)}"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise SettingError(f"module {module_name} has no {attribute}", hint=_suggest(module_name))
        found = getattr(found, part)
    if not isinstance(found, Reactor):
        raise SettingError(
            f"{path} is no Reactor, but of type {type(found).__name__}", hint=_suggest(module_name)
        )
    return found


def _module(file: str) -> str:
    """The name under which a file of the working directory is imported; of one elsewhere, its last part."""
    path = Path(os.path.relpath(file)).with_suffix("")
    parts = path.parts[:-1] if path.name == "__init__" else path.parts
    return ".".join(parts if os.pardir not in parts else parts[-1:])


def _place(error: BaseException) -> str:
    """Where in the user's own code it happened: the last frame that is not the import machinery's or ours.

    ``app.on(…)`` refuses what it is given, so the line that called it is to be mended, not ours.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    trace, place = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith("<") and file != importlib.__file__ and not is_ours(file):
            place = f" ({file}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _suggest(module_name: str) -> str:
    module = sys.modules[module_name]
    names = [name for name, value in vars(module).items() if isinstance(value, Reactor)]
    if not names:
        return "an app is a Reactor() at the top of a module, as `app = Reactor()`; docs/first-app.md has one"
    return f"it has {', '.join(f'{module_name}:{name}' for name in names)}"
