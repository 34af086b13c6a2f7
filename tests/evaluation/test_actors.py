"""Actors that come and go, and questions that are prepared while a model answers others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tiny_bench import make_plan, write_checkpoint, write_dataset

from evaluation import preparing_tasks
from evaluation.actors import run_on_actors
from evaluation.answer_store import AnswerStore
from evaluation.asking import entry_items
from evaluation.checkpoint import ScoredCheckpoint
from evaluation.prediction import Prediction
from evaluation.preparing import Request
from evaluation.read_ahead import ahead
from evaluation.setup import Setup
from evaluation.work import Item, Unit, units
from evaluation.worker import Worker
from pipeline.dataset.reader import ShardReader
from pipeline.plan.evaluation import Decoding
from pipeline.storage.location import Location


def fragile_actor_class() -> type:
    """A class that is defined in a function is pickled by value: actors cannot import test modules."""

    class Fragile:
        """An actor that dies on its first ``deaths`` attempts at unit 2."""

        def __init__(self, folder: str, deaths: int) -> None:
            self.folder, self.deaths = Path(folder), deaths

        def run(self, unit: Unit) -> int:
            import os

            if unit.number == 2:
                attempts = len(list(self.folder.iterdir()))
                (self.folder / str(attempts)).touch()
                if attempts < self.deaths:
                    os._exit(1)
            return unit.number

    return Fragile


@pytest.mark.parametrize("deaths", [1, 9])
def test_a_dead_actor_is_replaced_a_limited_number_of_times(
    tmp_path: Path, ray_cluster: None, deaths: int
) -> None:
    import ray

    work_units = [unit_of(n) for n in range(4)]
    found: list[int] = []
    messages: list[str] = []

    def run_units() -> None:
        run_on_actors(
            work_units,
            count=2,
            spawn=lambda: (
                ray.remote(fragile_actor_class()).options(num_cpus=0.5).remote(str(tmp_path), deaths)
            ),
            submit=lambda actor, unit: actor.run.remote(unit),
            done=lambda unit, result: found.append(result),
            lost=messages.append,
        )

    if deaths == 1:
        run_units()
        assert sorted(found) == [0, 1, 2, 3]
        assert len(messages) == 1
        assert "1 questions (k2 to k2)" in messages[0]
    else:
        with pytest.raises(RuntimeError, match="k2"):
            run_units()
        assert len(list(tmp_path.iterdir())) == 3


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("actors")
    write_dataset(folder)
    write_checkpoint(folder / "checkpoint")
    return folder


def setup_of(home: Path, store: str, **changes: object) -> Setup:
    config = make_plan(home).evaluation
    assert config is not None
    return Setup(
        config=config.model_copy(update=changes),
        checkpoint=ScoredCheckpoint.in_folder(Location.parse(home / "checkpoint")),
        dataset=Location.parse(home / "data"),
        store=AnswerStore.at(Location.parse(home / store), {"checkpoint": "1"}),
        seed=1,
    )


def units_of(setup: Setup, count: int, size: int = 8) -> list[Unit]:
    bench = setup.config.benchmarks[0]
    made = units(entry_items(ShardReader(setup.dataset), bench, 1)[: count * size])
    items = tuple(item for unit in made for item in unit.items)
    return [Unit(number=n, items=items[n * size :][:size]) for n in range(count)]


def test_batches_are_prepared_while_the_model_answers(home: Path) -> None:
    """Catches a model that waits for decoding, two batches in the model at once, and a unit that is decoded
    as a whole in advance."""
    setup = setup_of(home, "overlap", batch_size=2)
    (first, second) = units_of(setup, 2, size=5)
    both = threading.Barrier(2, timeout=20)
    in_model = threading.Lock()
    prepared: list[str] = []

    class Model:
        """Answers its first batch only when another unit's first batch has been prepared."""

        answered = 0

        @property
        def preparer(self) -> Model:
            return self

        def prepare(self, requests: list[Request]) -> list[Request]:
            prepared.extend(r.sample.key for r in requests)
            if len(prepared) <= 4:
                both.wait()
            return requests

        def complete(self, requests: list[Request]) -> list[Prediction]:
            assert in_model.acquire(blocking=False), "two batches at once"
            self.answered += len(requests)
            assert len(prepared) <= self.answered + 4, "no more than one batch of each unit is in memory"
            in_model.release()
            return [Prediction(key=r.sample.key, source=r.sample.dataset, text="A") for r in requests]

    worker = Worker(setup)
    worker.__dict__["predictor"] = Model()
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(worker.answer, (first, second)))
    for unit, result in zip((first, second), results, strict=True):
        (stored,) = result.stored.values()
        assert set(stored) == {item.name for item in unit.items}


@pytest.mark.parametrize("patience_s", [60.0, 0.0], ids=["in time", "late"])
def test_questions_prepared_by_the_cluster_get_the_same_answers(
    home: Path, ray_cluster: None, monkeypatch: pytest.MonkeyPatch, patience_s: float
) -> None:
    """If no CPU is free for a task, the actor prepares the batch itself, and says so."""
    made = {}
    for decoding in Decoding:
        setup = setup_of(home, f"{decoding}-{patience_s}", decoding=decoding, max_new_tokens=3)
        worker = Worker(setup)
        (unit,) = units_of(setup, 1)
        if decoding is Decoding.CLUSTER:
            monkeypatch.setattr(preparing_tasks, "PATIENCE_S", patience_s)
            if patience_s:
                monkeypatch.setattr(worker.predictor.preparer, "prepare", None)  # the actor prepares nothing
        made[decoding] = worker.answer(unit)
    here, there = made[Decoding.ACTOR], made[Decoding.CLUSTER]
    assert (here.late, there.late) == (0, 0 if patience_s else 2)
    assert there.unreadable == here.unreadable != ()
    assert there.stored == here.stored, "parts are named by the digest of their bytes"


def test_items_are_made_ahead_in_order_and_few_at_a_time() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for n in range(20):
            made.append(n)
            yield n

    with ahead(numbers(), 3) as items:
        for n in items:
            assert n == len([m for m in made if m <= n]) - 1
            assert made[-1] <= n + 5, "one that waits for room, one that is being made"
    assert made == list(range(20))


def test_an_error_comes_where_its_item_is_asked_for() -> None:
    def two() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("the third")

    with ahead(two(), 8) as items:
        assert [next(items), next(items)] == [1, 2]
        with pytest.raises(ValueError, match="the third"):
            next(items)


def test_no_thread_stays_when_the_rest_is_not_wanted() -> None:
    before = threading.active_count()
    with ahead(iter(range(1000)), 2) as items:
        assert next(items) == 0
    assert threading.active_count() == before


def test_actors_that_find_no_room_do_not_hold_up_the_others(tmp_path: Path, ray_cluster: None) -> None:
    """Catches units that wait for an actor that has no place in the cluster."""
    import ray

    spawned: list[Any] = []

    def spawn() -> Any:
        need = {"num_cpus": 0.1} if not spawned else {"num_cpus": 0, "resources": {"nowhere": 1}}
        spawned.append(ray.remote(fragile_actor_class()).options(**need).remote(str(tmp_path), 0))
        return spawned[-1]

    found: list[int] = []
    joined: list[int] = []
    run_on_actors(
        [unit_of(n) for n in range(5)],
        count=3,
        spawn=spawn,
        submit=lambda actor, unit: actor.run.remote(unit),
        done=lambda unit, result: found.append(result),
        joined=joined.append,
        at_once=2,
    )
    assert sorted(found) == list(range(5))
    assert (len(spawned), joined) == (3, [1])


def unit_of(number: int) -> Unit:
    item = Item(entry="e", source="s", row=number, key=f"k{number}", question="q", video="v", cost=1)
    return Unit(number=number, items=(item,))
