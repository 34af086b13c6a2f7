"""Run a plan: every step that is not made yet as a Ray job, one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts import notices
from pipeline.artifacts.inputs import log_file
from pipeline.artifacts.steps import Decision, Kind, State, up_to
from pipeline.artifacts.survey import PlanStatus, survey, with_records
from pipeline.canonical import digest, plain, yaml_text
from pipeline.jobs.cluster import interruptible
from pipeline.jobs.display import Display, choose_display
from pipeline.jobs.follower import JobFollower
from pipeline.jobs.other_run import OtherRun, RunClaims
from pipeline.jobs.sending import send_leftovers, tracked_plan
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location
from pipeline.text_table import TextTable, terminal_width

if TYPE_CHECKING:
    from pipeline.jobs.server import JobServer


def run(
    plan: Plan,
    plan_path: str,
    until: str | None = None,
    forced: Iterable[str] = (),
    *,
    quiet: bool = False,
    refuse: Callable[[Sequence[Decision]], None] = lambda _: None,
) -> int:
    """Make every missing artifact of a plan, then print the result unless ``quiet``.

    ``refuse`` is called before anything is made: it raises UserError for steps that cannot work here.
    Returns the exit code.
    """
    plan_status = survey(plan)
    again = frozenset(forced)
    for name in (*again, *([until] if until else [])):
        plan_status.spec(name)
    decisions = up_to(plan_status.decide(again), until)
    refuse(decisions)
    todo = [d for d in decisions if d.state is State.TODO]
    for note in (
        *notices.other_code(plan_status, decisions),
        *notices.missing_media(plan, plan_status, decisions),
    ):
        print(note)
    if not todo:
        print(f"{plan.name}: all {len(decisions)} steps are done, nothing to do.")
        send_leftovers(plan, print)
        print_result(plan_status, plan_path)
        return 0
    plan_file = write_plan(plan, plan_status.root)
    print(f"{plan.name}: {len(todo)} of {len(decisions)} steps to make in {plan_status.root.uri}", flush=True)
    states = {d.spec.name: "waiting" if d.state is State.TODO else "kept" for d in decisions}
    from pipeline.jobs.local import needs_no_cluster

    with (
        interruptible(),
        tracked_plan(plan, plan_status, print) as plan_run,
        RunClaims() as claims,
        ExitStack() as opened,
    ):
        display = opened.enter_context(choose_display(list(states), states))
        other = OtherRun(claims, display)
        for decision in todo:  # all at once, so that no other run can claim one between two steps
            claims.take(plan_status.folder(decision.spec.name))
        server = None
        while group := _next_group(left := up_to(plan_status.decide(again), until), again):
            first = group[0].spec.name
            if not claims.take(plan_status.folder(first)):
                other.follow(
                    plan_status.folder(first), first, plan_status.artifacts[first], forced=first in again
                )
                plan_status = survey(plan)
                continue
            folders = {d.spec.name: plan_status.folder(d.spec.name) for d in group}
            group = list(takewhile(partial(_is_ours, claims, folders), group))
            job = _Job(plan, plan_status, group, plan_file, display, force=first in again)
            steps = [d.spec for d in left if d.state is State.TODO]
            if server is None and not needs_no_cluster(plan.ray, steps):
                from pipeline.jobs.server import job_server

                server = opened.enter_context(job_server(plan.ray))
            if plan_run is not None and (server is None or server.embedded):
                plan_run.own_steps = [plan_status.fingerprints[name] for name in job.names]
            if code := job.run(server, claims):
                if plan_run is not None:
                    plan_run.failed = True
                return code
            again -= {d.spec.name for d in group}
            plan_status = job.plan_status  # a step that ran again may have a different result
            _tell_rejects(plan_status, group, display)
    if not quiet:
        print_result(plan_status, plan_path)
    return 0


def _is_ours(claims: RunClaims, folders: Mapping[str, Location], decision: Decision) -> bool:
    return claims.take(folders[decision.spec.name])


def _tell_rejects(plan_status: PlanStatus, group: Sequence[Decision], display: Display) -> None:
    """Report which records a new dataset left out, and why."""
    for spec in (d.spec for d in group if d.spec.kind is Kind.PREPARE):
        made = plan_status.artifacts[spec.name]
        if made is not None:
            from pipeline.dataset.rejects import rejects_text

            if text := rejects_text(made.location):
                display.say(text)


def write_plan(plan: Plan, root: Location) -> Location:
    """Write the plan with every default and ``--set`` into the storage root, named by its digest."""
    place = root / f"plans/{digest(plan)[:16]}.yaml"
    if not place.exists():
        place.write_text(yaml_text(plain(plan)))
    return place


def log_path(plan: Plan, plan_status: PlanStatus, step: str) -> Path:
    """The local log file of a step's job."""
    return log_file(plan, f"{step}-{plan_status.fingerprints[step][:12]}")


def print_result(plan_status: PlanStatus, plan_path: str) -> None:
    """Print where the page is, what to upload, what to do next, and last the table of the report."""
    for line in submission_lines(plan_status):
        print(line)
    report = plan_status.artifacts.get("report")
    if report is None:
        for spec in plan_status.specs:
            if made := plan_status.artifacts[spec.name]:
                page = next((f"   page: {p.name}" for p in made.location.list(".html")), "")
                print(f"  {spec.name:<20} {made.location.uri}{page}")
        return
    pages = report.location.list(".html")
    if pages:
        print(f"Page:    {pages[0].uri}")
    if (data := plan_status.artifacts.get("prepare")) and (cards := data.location.list(".html")):
        print(f"Data:    {cards[0].uri}")
    print(f"Status:  ufvideo status {plan_path}")
    if table := table_lines(report.location):
        print(f"\n{table}", flush=True)


def table_lines(report: Location) -> str:
    """The report's table as its file has it; in a narrower terminal made anew to that width."""
    place, content = report / "table.txt", report / "table.json"
    if not place.exists():
        return ""
    text, width = place.read_text().rstrip(), terminal_width()
    if width is None or max(map(len, text.splitlines()), default=0) <= width or not content.exists():
        return text
    drawn = json.loads(content.read_bytes()).get("text")  # reports of older versions have none
    return TextTable.of(drawn).text(width).rstrip() if drawn else text


def submission_lines(plan_status: PlanStatus) -> Iterator[str]:
    """The archives of answers whose truth only a server knows: where each is, and where it goes."""
    for spec in plan_status.specs:
        made = plan_status.artifacts[spec.name]
        if spec.kind is not Kind.EVALUATE or made is None:
            continue
        for entry, counts in made.record.summary.get("benchmarks", {}).items():
            if archive := counts.get("submission"):
                size = f"{archive['videos']} videos, {archive['expressions']:,} expressions"
                size += "" if archive["complete"] else ", not complete"
                if empty := sum(archive["empty"].values()):
                    size += f", {empty} with empty masks"
                place = f"{made.location.uri}/{archive['file']}"
                yield f"Submit:  {entry} of {spec.subject}: {place} ({size}). {archive['upload']}."


class _Job:
    """One Ray job, or process, that makes some steps of one module, with a log file for each."""

    def __init__(
        self,
        plan: Plan,
        plan_status: PlanStatus,
        group: Sequence[Decision],
        plan_file: Location,
        display: Display,
        *,
        force: bool,
    ) -> None:
        self.plan, self.plan_status, self.display = plan, plan_status, display
        self.module, self.names = group[0].spec.module, [d.spec.name for d in group]
        self.arguments = [
            "--plan",
            plan_file.uri,
            *(a for n in self.names for a in ("--step", n)),
            *(["--force"] if force else []),
        ]
        self.follower = JobFollower(display, self.names[0], partial(log_path, plan, plan_status))

    def run(self, server: JobServer | None, claims: RunClaims) -> int:
        """Make the steps: as a job, or without a server as a process. Returns the exit code.

        Raises the job's UserError.
        """
        self.display.start(self.names[0])
        command = f"python -m {self.module} {' '.join(self.arguments)}"
        other = None
        if server is None:
            from pipeline.jobs.local import run_locally

            self.follower.note(f"--- {command}")
            outcome = run_locally(self.module, self.arguments, self.follower.take)
        else:
            other, job = self._submit(server)
            claims.publish(server.client.get_address(), job)
            self.follower.note(f"--- job {job}: {command}")
            if other:
                self.follower.note(f"--- job {job} was there already; it is followed, no other is started")
            outcome = self.follower.follow(server, job, stops=other is None)
        if outcome.ok:
            self.plan_status = with_records(self.plan_status)
            if any(self.plan_status.artifacts.get(n) is None for n in self.names):
                self.plan_status = survey(self.plan)  # an input has changed, and the step used the new one
            missing = [n for n in self.names if self.plan_status.artifacts.get(n) is None]
            if other or not missing:
                return 0  # steps that the other job does not make come next
            self.follower.tail.append(
                f"{missing[0]} is not in its folder: the code or an input file has changed in the meantime."
            )
        return self.follower.fail(outcome)

    def _submit(self, server: JobServer) -> tuple[str | None, str]:
        """The job that makes the steps already, if there is one, and the job to follow."""
        from pipeline.jobs.server import find_live_job, module_command, submit_job

        command = module_command(self.module, self.arguments, embedded=server.embedded)
        root = self.plan_status.root.uri
        folders = [self.plan_status.folder(name).uri.removeprefix(f"{root}/") for name in self.names]
        # On a cluster a job may outlive its command; a second job would write into the same folder.
        other = None if server.embedded else find_live_job(server, root, folders)
        return other, other or submit_job(server, command, {}, {"root": root, "steps": " ".join(folders)})


def _next_group(decisions: Sequence[Decision], forced: frozenset[str]) -> list[Decision]:
    """The next steps that can share a job: consecutive steps of one module, which is then imported once."""
    group: list[Decision] = []
    for decision in decisions:
        if decision.state is State.DONE:
            continue
        if group and (
            decision.spec.module != group[0].spec.module
            or (decision.spec.name in forced) != (group[0].spec.name in forced)
        ):
            break
        group.append(decision)
    return group
