"""Callbacks: how one is added, when it is called, and that none of them changes the training."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from test_train_loop import job
from tiny_corpus import stage

from pipeline.errors import UserError
from pipeline.plan.identity import identity
from pipeline.storage.location import Location
from training import callbacks
from training.callbacks import available, load_callbacks
from training.loop.callback import Callbacks, StageRun
from training.loop.reporter import LocalReporter
from training.loop.train import train
from training.model.weights.checkpoints import load_model

TOY = '''import json
import torch
from training.loop.callback import Callback

class Toy(Callback):
    """Notes its calls, and draws a random number in each."""

    calls = []

    def on_start(self, run, state):
        found = json.loads((state / "toy-0.json").read_text()) if state else None
        self.note("start", run.first_step, found)

    def on_step(self, run, done):
        self.note("step", done.step, "loss/total" in done.row)
        return {"weights": sum(float(p.sum()) for p in run.model.parameters()), "steps": done.step + 1}

    def on_save(self, run, step, folder):
        self.note("save", step, any(folder.rglob("*.pt")))
        (folder / f"toy-{run.rank}.json").write_text(json.dumps({"after": step}))

    def on_end(self, run):
        self.note("end", run.total_steps)

    def note(self, *what):
        torch.rand(3)
        assert not torch.is_grad_enabled()
        Toy.calls.append(list(what))
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second folder of ``training/callbacks/``, for one more file."""
    place = tmp_path / "callbacks"
    place.mkdir()
    monkeypatch.setattr(callbacks, "__path__", [*callbacks.__path__, str(place)])
    for name in [n for n in sys.modules if n.startswith("training.callbacks.")]:
        monkeypatch.delitem(sys.modules, name)
    return place


def test_a_callback_is_one_file_and_does_not_change_the_training(
    prepared: Location, start: Location, folder: Path, tmp_path: Path
) -> None:
    (folder / "toy.py").write_text(TOY)
    config = stage(steps=3, layout={"save_every": 2})
    with_callbacks = config.model_copy(update={"callbacks": ("toy", "peak_memory")})
    assert identity(with_callbacks, "stage") == identity(config, "stage")
    without = LocalReporter(tmp_path / "s0")
    plain = train(job(prepared, start, tmp_path / "a", config), without)
    reporter = LocalReporter(tmp_path / "s1")
    calls = load_callbacks("one", ["toy"])[0].calls  # type: ignore[attr-defined]
    train(job(prepared, start, tmp_path / "b", with_callbacks), reporter, stop_at=2)
    assert calls == [
        ["start", 0, None],
        ["step", 0, True],
        ["step", 1, True],
        ["save", 2, True],
    ]
    del calls[:]
    again = train(job(prepared, start, tmp_path / "b", with_callbacks), reporter)
    assert calls == [["start", 2, {"after": 2}], ["step", 2, True], ["end", 3]]
    assert again.digest == plain.digest
    for step, row in without.rows.items():
        assert reporter.rows[step]["loss/total"] == row["loss/total"]
        assert reporter.rows[step]["toy/steps"] == step + 1
        assert reporter.rows[step]["peak_memory/process_mb"] > 1


def test_random_draws_of_a_callback_do_not_advance_the_global_generator(
    folder: Path, start: Location
) -> None:
    (folder / "toy.py").write_text(TOY)
    run = StageRun(
        stage=stage(), model=load_model(start.local_path / "model"), rank=0, world=1, total_steps=4
    )
    before = torch.get_rng_state()
    Callbacks(run, load_callbacks("one", ["toy"])).start(None)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("raise RuntimeError('too hot')", "bad failed in on_step: RuntimeError: too hot"),
        ("return {'a:b': 1.0}", "'bad/a:b' cannot be a metric's name"),
        ("return {'a': 'x'}", "bad failed in on_step: ValueError: could not convert"),
    ],
)
def test_an_error_in_a_callback_ends_the_stage_with_its_name(
    prepared: Location, start: Location, folder: Path, tmp_path: Path, line: str, message: str
) -> None:
    (folder / "bad.py").write_text(
        "from training.loop.callback import Callback\n"
        f"class Bad(Callback):\n    def on_step(self, run, done):\n        {line}\n"
    )
    config = stage(steps=1, callbacks=("bad",))
    with pytest.raises(UserError) as caught:
        train(job(prepared, start, tmp_path / "a", config), LocalReporter(tmp_path / "s"))
    assert str(caught.value).startswith("stage one: callbacks: ")
    assert message in str(caught.value)
    assert not (tmp_path / "a" / "model").exists()


def test_an_installed_package_registers_a_callback(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through an entry point, as an installed package has it."""
    (tmp_path / "theirs.py").write_text(
        "from training.loop.callback import Callback\nclass Theirs(Callback):\n    pass\n"
    )
    about = tmp_path / "theirs-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[ufvideo.callbacks]\ntheirs = theirs:Theirs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = load_callbacks("one", ["theirs"])
    assert (type(found).__name__, found.name) == ("Theirs", "theirs")
    assert available()["theirs"] == "theirs:Theirs"
    (folder / "theirs.py").write_text("")
    with pytest.raises(
        UserError, match=r"callback theirs: is there twice: training.callbacks.theirs and theirs:Th"
    ):
        available()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("peak_memmory", None, r"is not a callback. Did you mean peak_memory\? There are peak_memory"),
        (
            "odd",
            "import nothing_of_the_kind",
            r"odd \(training.callbacks.odd\) cannot be made: ModuleNotFound",
        ),
        ("odd", "class Odd: pass", "the module has to hold one subclass of Callback, not 0"),
    ],
)
def test_a_name_without_a_callback_is_refused(
    folder: Path, name: str, text: str | None, message: str
) -> None:
    if text is not None:
        (folder / f"{name}.py").write_text(text)
    with pytest.raises(UserError, match=message):
        load_callbacks("one", [name])
