"""The protocol in the small, searched exhaustively: every order of every step that two replicas, two events,
a clock, a killer and a deploy can take.

One tenant. A replica goes through a run in the steps in which it talks to the server, each of them atomic
there: claim, (effect, not yet visible), fence, commit. In between anything may happen: the lease runs out,
the other one takes over, the replica is killed, is stopped for as long as it takes, loses its connection and
abandons, or is told to drain. A state is a plain tuple, so that each is visited once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Step = Literal["idle", "claimed", "written", "fenced", "cut"]

EVENTS = 2
#: Kills and interruptions per event in one history; more make more states and no other behaviour.
MOST_TROUBLE = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """What can be taken out of the protocol, to see that the search notices."""

    fence: bool = True
    lease_checked_at_takeover: bool = True
    takeover_waits_for_fenced: bool = True
    note_in_flight: bool = True


@dataclass(frozen=True, slots=True)
class Actor:
    """One replica."""

    step: Step = "idle"
    #: its run's number, and the event that it works on
    run: int = 0
    event: int = -1
    draining: bool = False
    alive: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """The server's tables and the replicas; commits that are under way are the replicas' steps."""

    actors: tuple[Actor, ...] = (Actor(), Actor())
    #: the lease: the run that holds it (0: nobody), whether its time is over, what is noted in flight
    holder: int = 0
    expired: bool = False
    in_flight: int = -1
    runs: int = 0
    done: tuple[bool, ...] = (False,) * EVENTS
    #: times that each event's effect was committed, and its marks of being cut short
    effects: tuple[int, ...] = (0,) * EVENTS
    marks: tuple[int, ...] = (0,) * EVENTS
    #: kills that happened while the event was being handled
    killed: tuple[int, ...] = (0,) * EVENTS
    trouble: int = 0
    #: a run wrote although its lease was somebody else's; a lease was taken before its time was over
    stale: bool = False
    overlap: bool = False
    #: events done in an order other than theirs
    disorder: bool = False


def violations(state: State) -> list[str]:
    """What must never be true."""
    found = []
    if any(n > 1 for n in state.effects):
        found.append("doubled")
    if any(done != (n > 0) for done, n in zip(state.done, state.effects, strict=True)):
        found.append("an effect without its acknowledgement, or the other way round")
    if state.stale:
        found.append("stale")
    if state.overlap:
        found.append("overlapping runs")
    if state.disorder:
        found.append("out of order")
    if any(k and not m for k, m in zip(state.killed, state.marks, strict=True)) and state.holder == 0:
        found.append("an event was cut short and nobody knows")
    return found


def steps(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Everything that can happen next."""
    for number, actor in enumerate(state.actors):
        for what, after in _actor_steps(state, actor, rules, number):
            yield f"replica {number}: {what}", after
    if state.holder and not state.expired:
        yield "the lease runs out", replace(state, expired=True)


def _put(state: State, number: int, actor: Actor) -> State:
    actors = (*state.actors[:number], actor, *state.actors[number + 1 :])
    return replace(state, actors=actors)


def _bump(counts: tuple[int, ...], at: int) -> tuple[int, ...]:
    # Twice is as bad as often, and keeps the number of states finite.
    return tuple(min(2, n + (i == at)) for i, n in enumerate(counts))


def _renumber(state: State) -> State:
    """Runs are told apart, not counted: histories that differ in numbers alone are one state."""
    names = {0: 0}
    for run in (state.holder, *(actor.run for actor in state.actors)):
        names.setdefault(run, len(names))
    actors = tuple(replace(actor, run=names[actor.run]) for actor in state.actors)
    return replace(state, holder=names[state.holder], actors=actors, runs=len(names) - 1)


def _actor_steps(state: State, actor: Actor, rules: Rules, number: int) -> Iterator[tuple[str, State]]:
    if not actor.alive:
        return
    idle = replace(actor, step="idle", run=0, event=-1)
    match actor.step:
        case "idle":
            if not actor.draining:
                yield from _claims(state, actor, rules, number)
                if state.trouble < MOST_TROUBLE:
                    asked = replace(state, trouble=state.trouble + 1)
                    yield "is told to drain", _put(asked, number, replace(actor, draining=True))
            else:
                # A deploy: the next one starts when this one has ended.
                yield "is replaced", _put(state, number, Actor())
        case "claimed":
            yield "its handler writes", _put(state, number, replace(actor, step="written"))
            if actor.draining:
                yield "gives back what it had not begun", _abandon(state, number, idle, interrupted=False)
        case "written":
            holds = state.holder == actor.run and not state.expired
            if holds or not rules.fence:
                if state.done[actor.event]:
                    # The acknowledgement finds no event to remove: fenced all the same.
                    yield "is fenced by the missing event", _put(state, number, idle)
                else:
                    yield "fences", _put(state, number, replace(actor, step="fenced"))
            else:
                yield "is fenced", _put(state, number, idle)
        case "fenced":
            yield "commits", _commit(state, actor, number, idle)
        case "cut":
            yield "abandons what was cut", _abandon(state, number, idle, interrupted=True)
    if actor.step != "idle" and state.trouble < MOST_TROUBLE:
        troubled = replace(state, trouble=state.trouble + 1)
        hit = troubled
        if state.holder == actor.run and not state.done[actor.event]:
            hit = replace(troubled, killed=_bump(troubled.killed, actor.event))
        yield "is killed", _put(hit, number, Actor())
        if actor.step != "cut":
            yield "loses its connection", _put(hit, number, replace(actor, step="cut"))
            if actor.step == "fenced":
                # The commit went through, and its answer was lost.
                after = _commit(troubled, actor, number, replace(actor, step="cut"))
                yield "commits, and never hears of it", after


def _claims(state: State, actor: Actor, rules: Rules, number: int) -> Iterator[tuple[str, State]]:
    """A claim is one transaction: end a lease that ran out, take the lease, read what is left."""
    marks = state.marks
    if state.holder:
        if not state.expired and rules.lease_checked_at_takeover:
            return
        busy = any(a.step == "fenced" and a.run == state.holder for a in state.actors)
        if busy and rules.takeover_waits_for_fenced:
            return  # its row is locked by the commit under way
        if state.in_flight >= 0 and not state.done[state.in_flight]:
            marks = _bump(marks, state.in_flight)
    left = [event for event in range(EVENTS) if not state.done[event]]
    if not left:
        if state.holder:
            yield (
                "ends a lease that ran out",
                replace(state, holder=0, expired=False, in_flight=-1, marks=marks),
            )
        return
    run = state.runs + 1
    taken = replace(
        state,
        holder=run,
        runs=run,
        expired=False,
        in_flight=left[0] if rules.note_in_flight else -1,
        marks=marks,
        overlap=state.overlap or (state.holder != 0 and not state.expired),
    )
    yield "claims", _put(taken, number, replace(actor, step="claimed", run=run, event=left[0]))


def _commit(state: State, actor: Actor, number: int, after: Actor) -> State:
    holds = state.holder == actor.run
    earlier = any(not done for done in state.done[: actor.event])
    settled = replace(
        state,
        done=tuple(done or i == actor.event for i, done in enumerate(state.done)),
        effects=_bump(state.effects, actor.event),
        stale=state.stale or not holds,
        disorder=state.disorder or earlier,
    )
    if holds:
        settled = replace(settled, holder=0, expired=False, in_flight=-1)
    return _put(settled, number, after)


def _abandon(state: State, number: int, idle: Actor, *, interrupted: bool) -> State:
    actor = state.actors[number]
    if state.holder != actor.run:
        return _put(state, number, idle)
    marks = state.marks
    if interrupted and state.in_flight >= 0:
        marks = _bump(marks, state.in_flight)
    return _put(replace(state, holder=0, expired=False, in_flight=-1, marks=marks), number, idle)


def is_over(state: State) -> bool:
    """Nothing is left to do."""
    return all(state.done) and state.holder == 0 and all(a.step == "idle" for a in state.actors)


@dataclass(slots=True)
class Search:
    """What an exhaustive search found."""

    states: int
    #: the shortest history that ends in something forbidden
    bad: list[str] | None
    forbidden: list[str]
    #: whether from every state the end can still be reached
    live: bool


def search(rules: Rules, *, most: int = 2_000_000) -> Search:
    """Breadth first from the start, so that a bad history is a shortest one."""
    start = State()
    came: dict[State, tuple[State, str] | None] = {start: None}
    back: dict[State, list[State]] = {}
    frontier = [start]
    while frontier:
        following = []
        for state in frontier:
            forbidden = violations(state)
            if forbidden:
                return Search(len(came), _history(came, state), forbidden, live=False)
            for what, raw in steps(state, rules):
                after = _renumber(raw)
                back.setdefault(after, []).append(state)
                if after not in came:
                    came[after] = (state, what)
                    following.append(after)
        if len(came) > most:
            raise AssertionError(f"more than {most} states: the model has grown out of hand")
        frontier = following
    reached = {state for state in came if is_over(state)}
    queue = list(reached)
    while queue:
        for before in back.get(queue.pop(), []):
            if before not in reached:
                reached.add(before)
                queue.append(before)
    return Search(len(came), None, [], live=len(reached) == len(came))


def _history(came: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    told = []
    while (step := came[state]) is not None:
        state, what = step
        told.append(what)
    return told[::-1]
