"""``reactor explain``."""

from reactor.cli.output import in_a_line, print_json, say
from reactor.cli.session import session
from reactor.cli.story import print_errors, print_facts
from reactor.db import operations
from reactor.db.named import event_number, no_event
from reactor.telemetry.story import sentence
from reactor.telemetry.words import ago, moment


async def explain(event: str, /, *, json: bool = False) -> int:
    """Says why an event waits, or what became of it.

    It may be held by a run (of which replica, for how long), wait for its time, be parked by the kill
    switch or its tenant, lack a replica or a handler, be dead or finished. Exits 2 when nobody knows it.

    Example: ``reactor explain 4711``

    Parameters
    ----------
    event
        Its id, or its event_id.
    json
        Write JSON to stdout.
    """
    async with session("explain") as connection:
        number = await event_number(connection, event)
        found = await operations.explain_event(connection, number)
    if found is None:
        raise no_event(event)
    if json:
        print_json(found | {"sentence": sentence(found)})
        return 0
    say(in_a_line(sentence(found)))
    about, now = found["event"], moment(found["at"])
    print()
    print_facts(
        {
            "event": f"{about['id']} ({about['event_id']})",
            "type": about["event_type"],
            "tenant": f"{about['tenant_id']} {found['gate']['tenant_name'] or '(gone)'}",
            "emitted": ago(about["created_at"], now),
            "tries": f"{about['attempts']} failed, {about['interruptions']} interrupted",
            "next look": ago(about["available_at"], now) if found["why"] == "delayed" else None,
            "held by run": (found["lock"] or {}).get("run_id"),
        }
    )
    print_errors(about["errors"], now)
    return 0
