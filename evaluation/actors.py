"""Units of work on Ray actors that come and go, as the cluster grows and shrinks.

Which actor takes a unit is decided at run time: the ready one with the least to do takes the next, so that a
slow sample holds up one actor and nobody else.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.work import Unit

MAX_LOSSES = 3  # after so many actors died over one unit, or while they started, the step gives up
_STARTING = -1  # in place of a unit's number
NODE_PATIENCE_S = 15.0  # for the news that a node is gone
WAIT_LINE_S = 60.0  # how often a run without any actor says what it waits for


@dataclass(eq=False, kw_only=True)
class _Actor:
    handle: Any
    node: str = ""  # where it runs; empty while it waits for its place
    running: dict[Any, Unit] = field(default_factory=dict)


def run_on_actors(
    jobs: Sequence[Unit],
    *,
    count: int,
    spawn: Callable[[], Any],
    submit: Callable[[Any, Unit], Any],
    done: Callable[[Unit, Any], None],
    lost: Callable[[str], None] = lambda message: None,
    joined: Callable[[int], None] = lambda actors: None,
    waits: Callable[[], None] = lambda: None,
    at_once: int = 1,
) -> None:
    """Run every job on up to ``count`` Ray actors, each with at most ``at_once`` jobs.

    ``count`` actors are requested at the start. Those that have a place work; the others begin once the
    cluster has room for them. If an actor dies, ``lost`` is called with the reason, another is requested and
    its jobs go back to the head of the queue. The step ends after MAX_LOSSES deaths over one job, not
    counting those of a whole node; an error raised inside a job passes through at once. ``joined`` is called
    with the number of actors when one begins, ``waits`` every WAIT_LINE_S while there is none.
    """
    pool = _Pool(jobs, min(count, len(jobs)), spawn, submit, lost, joined, at_once)
    try:
        while pool.unfinished():
            pool.hand_out()
            event = pool.next_event()
            if event is None:
                waits()
            elif (finished := pool.settle(*event)) is not None:
                done(*finished)
    finally:
        pool.stop()


class _Pool:
    def __init__(
        self,
        jobs: Sequence[Unit],
        count: int,
        spawn: Callable[[], Any],
        submit: Callable[[Any, Unit], Any],
        lost: Callable[[str], None],
        joined: Callable[[int], None],
        at_once: int,
    ) -> None:
        self._waiting = deque(jobs)
        self._spawn, self._submit, self._at_once = spawn, submit, at_once
        self._lost, self._joined = lost, joined
        self._losses: Counter[int] = Counter()  # by number of the unit
        self._starting: dict[Any, _Actor] = {}  # by the reference that is ready once the actor runs
        self._ready: list[_Actor] = []
        for _ in range(count):
            self._request()

    def unfinished(self) -> bool:
        return bool(self._waiting) or any(actor.running for actor in self._ready)

    def hand_out(self) -> None:
        """Give waiting jobs to the actors that have least to do."""
        while self._waiting:
            free = [actor for actor in self._ready if len(actor.running) < self._at_once]
            if not free:
                return
            actor = min(free, key=lambda a: len(a.running))
            job = self._waiting.popleft()
            actor.running[self._submit(actor.handle, job)] = job

    def next_event(self) -> tuple[_Actor, Any] | None:
        """An actor and the reference of it that is ready, or None after WAIT_LINE_S without any actor."""
        import ray

        owners = {ref: actor for actor in self._ready for ref in actor.running} | self._starting
        timeout = None if self._ready else WAIT_LINE_S
        ready, _ = ray.wait(list(owners), num_returns=1, timeout=timeout)
        return (owners[ready[0]], ready[0]) if ready else None

    def settle(self, actor: _Actor, ref: Any) -> tuple[Unit, Any] | None:
        """Take in an actor that has started, a result, or a loss; returns the job that is done, with it."""
        import ray

        try:
            result = ray.get(ref)
        except ray.exceptions.RayActorError as error:
            self._replace(actor, error)
            return None
        if ref in self._starting:
            del self._starting[ref]
            actor.node = result
            self._losses.pop(_STARTING, None)  # actors do start: those that died while they did had bad luck
            self._ready.append(actor)
            self._joined(len(self._ready))
            return None
        return actor.running.pop(ref), result

    def stop(self) -> None:
        import ray

        for actor in (*self._ready, *self._starting.values()):
            ray.kill(actor.handle)

    def _request(self) -> None:
        actor = _Actor(handle=self._spawn())
        self._starting[actor.handle.__ray_call__.remote(_node)] = actor

    def _replace(self, actor: _Actor, error: Exception) -> None:
        import ray

        jobs = list(actor.running.values())
        reason = (str(error).splitlines() or ["unknown"])[0]
        what = f"over {_questions(jobs)}" if jobs else "while it started"
        if actor.node and _is_lost(actor.node, error):
            reason = "its node was lost"
        else:
            for number in [job.number for job in jobs] or [_STARTING]:
                self._losses[number] += 1
                if self._losses[number] >= MAX_LOSSES:
                    raise RuntimeError(f"{self._losses[number]} actors died {what}: {error}") from error
        self._ready = [one for one in self._ready if one is not actor]
        self._starting = {ref: one for ref, one in self._starting.items() if one is not actor}
        ray.kill(actor.handle)  # one that cannot be reached may still run
        self._waiting.extendleft(reversed(jobs))
        self._request()
        self._lost(f"an actor was lost {what} and is replaced: {reason}")


def _questions(jobs: Sequence[Unit]) -> str:
    items = [item for job in jobs for item in job.items]
    return f"{len(items)} questions ({items[0].key} to {items[-1].key})"


def _node(_: Any) -> str:
    import ray

    return ray.get_runtime_context().get_node_id()


def _is_lost(node: str, error: Exception) -> bool:
    """Whether the node of a lost actor is gone. If it cannot be reached, Ray decides that a little later."""
    import ray

    patience_s = NODE_PATIENCE_S if isinstance(error, ray.exceptions.ActorUnavailableError) else 0
    deadline = time.monotonic() + patience_s
    while any(one["NodeID"] == node and one["Alive"] for one in ray.nodes()):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.5)
    return True
