"""What is said to the database of runs that are settled together."""

from collections.abc import Sequence

import orjson

from reactor.db import calls
from reactor.engine.run import Segment


def settlement(segments: Sequence[Segment], more: list[bool], ahead: Sequence[int] = ()) -> calls.Settlement:
    """``more``: which of them go on; ``ahead``: events that those have in hand already."""
    done: list[int] = []
    verdicts = []
    counts = []
    for segment in segments:
        done += segment.done
        if segment.outcomes:
            verdicts += [outcome.as_json() for outcome in segment.outcomes]
        counters = segment.counters
        failed = (
            next((o.reason for o in segment.outcomes if o.is_failure), None) if segment.outcomes else None
        )
        if counters or failed:
            counts.append(
                {
                    "run": segment.run.run_id,
                    "planned": counters.planned,
                    "executed": counters.executed,
                    "blocked": counters.blocked,
                    "emails_sent": counters.emails_sent,
                    "cards_created": counters.cards_created,
                    "phase": counters.phase,
                    "error": failed,
                }
            )
    return calls.Settlement(
        tenants=[segment.run.tenant_id for segment in segments],
        runs=[segment.run.run_id for segment in segments],
        more=more,
        done=done,
        verdicts=verdicts,
        counts=counts,
        ahead=ahead,
    )


def is_sayable(segment: Segment) -> bool:
    """Whether it can be written as JSON, which a settlement is sent as."""
    said = settlement([segment], [False])
    try:
        orjson.dumps([said.verdicts, said.counts], default=str)
    except Exception:
        return False
    return True
