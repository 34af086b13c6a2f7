"""A question to a checkpoint, with real clips and real (random) weights: the answer and its folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from answering_checkpoint import ANSWER_TOKENS, QUESTION, TEXT, predictor, record, sample_of
from PIL import Image
from tiny_bench import FPS, FRAMES, HEIGHT, WIDTH

from evaluation import Answer, Box, Checkpoint, Point, load_checkpoint
from evaluation.predict.clip import open_clip
from evaluation.prediction import Prediction
from evaluation.preparing import Request
from evaluation.spans import SpanRules
from pipeline.artifacts.record import commit_artifact
from pipeline.errors import UserError
from pipeline.media.video import decode, probe
from pipeline.plan.evaluation import SegState
from pipeline.records import masks
from pipeline.records.sample import MaskTrack
from pipeline.storage.location import Location
from tests.pipeline.small_hub import COMMIT, small_hub
from training.export import export
from training.model.propagation import prompted_frames

REPO = Path(__file__).resolve().parents[2]


def test_an_answer_equals_that_of_evaluation(home: Path, answer: Answer) -> None:
    """Catches a question that is processed unlike a benchmark's sample (other frames, size or prompt)."""
    clip = open_clip(home / "clip.mp4")
    sample = sample_of(clip)
    (made,) = predictor(home / "checkpoint", clip.footage).predict(
        [Request(sample=sample, turns=sample.turns)]
    )
    assert isinstance(made, Prediction)
    scored = made.with_times(sample, SpanRules())
    assert (answer.text, answer.ended, answer.notes) == (TEXT, True, ())
    assert (answer.text, answer.spans, answer.masks) == (scored.text, scored.spans, scored.masks)
    (track,) = answer.masks
    assert (track.height, track.width, track.frames) == (HEIGHT, WIDTH, tuple(range(FRAMES)))
    (span,) = answer.spans
    duration = FRAMES / FPS
    assert (span.start_s, span.end_s) == pytest.approx((10 * duration / 99, 60 * duration / 99))


def test_fewer_frames_are_evenly_spread_and_have_the_same_masks(
    home: Path, model: Checkpoint, answer: Answer
) -> None:
    """Catches masks that are assigned to the wrong frames."""
    few = model.ask(home / "clip.mp4", QUESTION, frames=4)
    (track,), (full,) = few.masks, answer.masks
    assert track.frames == (0, 5, 10, 15)
    assert track.counts == tuple(full.counts[f] for f in track.frames)
    assert few.question.identity != answer.question.identity


def test_memory_propagates_masks_from_prompted_frames(home: Path, answer: Answer) -> None:
    """Catches a setting without effect, and frames that are given to SAM 2 in another order."""
    (full,) = answer.masks

    def mask_track(prompts: int) -> MaskTrack:
        model = load_checkpoint(home / "checkpoint", device="cpu", max_new_tokens=8, prompted_frames=prompts)
        made = model.ask(home / "clip.mp4", QUESTION)
        assert made.question.identity != answer.question.identity
        return made.masks[0]

    assert mask_track(FRAMES).counts == full.counts, "all are prompted"
    some = mask_track(3)
    assert some.frames == full.frames
    for frame in prompted_frames(FRAMES, 3):
        assert some.counts[frame] == full.counts[frame]
    assert some.counts != full.counts, "the others are SAM 2's own"


def test_a_truncated_answer_and_a_missing_mask_are_reported(home: Path) -> None:
    """Catches an answer that silently ends at the limit, and a [SEG] that silently loses its mask."""
    short = load_checkpoint(home / "checkpoint", max_new_tokens=2, seg_state="published", device="cpu")
    made = short.ask(home / "clip.mp4", QUESTION)
    assert made.text == ANSWER_TOKENS[0] + ANSWER_TOKENS[1]
    assert made.masks == ()
    cut, unread, missing = made.notes
    assert "cut off after 2 tokens" in cut
    assert "one time only" in unread
    assert "1 of 1 [SEG] got no mask" in missing


def test_a_late_first_picture_is_reported_as_the_origin_of_times(answer: Answer) -> None:
    """Catches times that differ from those of a player without a note."""
    clip = answer.question.clip
    late = replace(clip, ref=replace(clip.ref, start_s=2.0))
    (note,) = replace(answer, question=replace(answer.question, clip=late)).notes
    assert "count from the first picture, which a player shows at 2.00 s" in note


def test_saved_files_agree_with_the_answer(home: Path, answer: Answer, tmp_path: Path) -> None:
    """Catches masks that are written under another frame's name, and an overlay that runs too fast."""
    saved = answer.save(tmp_path / "out")
    assert saved.files == ("masks/object-1", "overlay.mp4", "answer.json")
    assert not saved.replaced
    found = json.loads((tmp_path / "out" / "answer.json").read_text())
    assert (found["question"], found["answer"]) == (QUESTION, TEXT)
    assert found["spans"] == [{"start_s": answer.spans[0].start_s, "end_s": answer.spans[0].end_s}]
    assert found["made_by"]["digest"] == "d" * 64
    assert found["versions"]["torch"]
    (track,) = answer.masks
    pngs = sorted((tmp_path / "out" / "masks" / "object-1").iterdir())
    assert [p.name for p in pngs] == [f"{f:05d}.png" for f in range(FRAMES)]
    areas = set()
    for frame, png in enumerate(pngs):
        mask = np.asarray(Image.open(png))
        rle = found["masks"][0]["masks"][str(frame)]
        assert rle == {"size": [HEIGHT, WIDTH], "counts": track.counts[frame]}
        np.testing.assert_array_equal(mask, masks.decode(rle["counts"], *rle["size"]))
        areas.add(int(mask.sum()))
    assert len(areas) > 1, "with equal masks the test would show nothing"
    info = probe(tmp_path / "out" / "overlay.mp4")
    assert (info.num_frames, info.height, info.width) == (FRAMES, HEIGHT, WIDTH)
    assert info.duration_s == pytest.approx(FRAMES / FPS, abs=1e-3)


def test_an_overlay_of_few_frames_lasts_as_long_as_the_video(
    home: Path, model: Checkpoint, tmp_path: Path
) -> None:
    """Catches an overlay that plays the chosen frames at the video's rate."""
    model.ask(home / "clip.mp4", QUESTION, frames=3).save(tmp_path / "out")
    info = probe(tmp_path / "out" / "overlay.mp4")
    assert info.num_frames == 3
    assert info.duration_s == pytest.approx(FRAMES / FPS, abs=1e-3)
    assert info.frame_starts_s == pytest.approx((0, 8 / FPS, 15 / FPS), abs=1e-3)


def test_the_overlay_of_frames_with_odd_sizes_is_padded(
    home: Path, model: Checkpoint, tmp_path: Path
) -> None:
    """Catches a crash of the encoder at an odd size; masks stay at the frames' own."""
    (tmp_path / "clip").mkdir()
    for index, picture in enumerate(decode(home / "clip.mp4", range(5))):
        Image.fromarray(picture[:45, :63]).save(tmp_path / "clip" / f"{index}.png")
    made = model.ask(tmp_path / "clip", "What is <region>?", regions=[Box("0.5s", 10, 10, 40, 40)])
    assert made.question.tracks[0].frames == (1,), "three frames a second"
    made = replace(made, masks=made.question.tracks)
    made.save(tmp_path / "out")
    info = probe(tmp_path / "out" / "overlay.mp4")
    assert (info.num_frames, info.height, info.width) == (5, 46, 64)
    assert info.duration_s == pytest.approx(5 / 3, abs=1e-3)
    with Image.open(tmp_path / "out" / "masks" / "object-1" / "00001.png") as mask:
        assert mask.size == (63, 45)


def test_another_answer_is_never_overwritten(home: Path, model: Checkpoint, answer: Answer, tmp_path: Path):
    """Catches a save that replaces whatever it finds, and one that leaves its scratch files."""
    out = tmp_path / "out"
    answer.save(out)
    before = (out / "answer.json").read_bytes()
    with pytest.raises(UserError, match="another question"):
        model.ask(home / "clip.mp4", "What is it?").save(out)
    with pytest.raises(UserError, match="another question"):
        model.ask(home / "clip.mp4", QUESTION, frames=2).save(out)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="something other"):
        answer.save(tmp_path / "notes")
    assert answer.save(out).replaced
    assert (out / "answer.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes", "out"]
    for name in ("mine.txt", "second/answer.json", "masks/object-1/mine.png", "masks/object-1/00000.png.bak"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
        with pytest.raises(UserError, match="something other than an answer"):
            answer.save(out)
        assert (out / name).read_text() == "mine"
        (out / name).unlink()
    (out / "second").rmdir()
    assert answer.save(out).replaced


def test_an_existing_folder_is_filled_and_not_replaced(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a folder that is replaced although it is a shell's working directory, or a link."""
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far")
    answer.save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "answer.json").is_file()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert not answer.save(".").replaced
    assert answer.save(".").replaced
    assert sorted(p.name for p in Path.cwd().iterdir()) == ["answer.json", "masks", "overlay.mp4"]
    assert replace(answer, masks=(), spans=()).save(".").replaced
    assert [p.name for p in Path.cwd().iterdir()] == ["answer.json"], (
        "files of the earlier answer are removed"
    )


def test_an_answer_that_is_saved_meanwhile_is_not_overwritten(
    home: Path, model: Checkpoint, answer: Answer, tmp_path: Path
) -> None:
    """Catches a check of the folder only before the files are made."""
    other = model.ask(home / "clip.mp4", "What is it?")

    def meanwhile(_: int) -> None:
        if not (tmp_path / "out").exists():
            other.save(tmp_path / "out")

    with pytest.raises(UserError, match="another question"):
        answer.save(tmp_path / "out", meanwhile)
    assert json.loads((tmp_path / "out" / "answer.json").read_text())["question"] == "What is it?"


@pytest.mark.parametrize(
    ("out", "message"),
    [("clip/x", "clip is not a folder"), ("/proc/x/y", "cannot be (created|written)")],
)
def test_a_folder_that_cannot_be_written_is_reported(
    answer: Answer, tmp_path: Path, out: str, message: str
) -> None:
    """Catches a traceback after all of the work."""
    (tmp_path / "clip").write_text("a file")
    with pytest.raises(UserError, match=message):
        answer.save(tmp_path / out)


@pytest.mark.slow
def test_checkpoint_video_and_output_may_be_on_s3(
    home: Path, answer: Answer, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches code that needs a local path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Location.parse(f"{s3_bucket}/stage2").put_dir(home / "checkpoint")
    Location.parse(f"{s3_bucket}/clip.mp4").put_file(home / "clip.mp4")
    far = load_checkpoint(f"{s3_bucket}/stage2", device="cpu", max_new_tokens=8)
    made = far.ask(f"{s3_bucket}/clip.mp4", QUESTION)
    assert (made.text, made.masks, made.question.identity) == (
        answer.text,
        answer.masks,
        answer.question.identity,
    )
    assert not made.save(f"{s3_bucket}/out").replaced
    assert made.save(f"{s3_bucket}/out").replaced
    found = json.loads(Location.parse(f"{s3_bucket}/out/answer.json").read_bytes())
    assert found["video"]["uri"] == f"{s3_bucket}/clip.mp4"


def test_a_text_answer_has_no_overlay(answer: Answer, tmp_path: Path) -> None:
    """Catches an overlay with nothing on it."""
    plain = replace(answer, masks=(), spans=(), text="It is red.")
    assert plain.save(tmp_path / "out").files == ("answer.json",)


@pytest.mark.parametrize(
    ("video", "question", "regions", "message"),
    [
        ("gone.mp4", QUESTION, [], "does not exist"),
        ("torn.mp4", QUESTION, [], "cannot be read"),
        ("clip.mp4", " ", [], "is empty"),
        ("clip.mp4", "What is it?", [Point(0, 5, 5)], 'such as "What is it <region>?"'),
        ("clip.mp4", "What is <region>?", [], "but no regions are given"),
        ("clip.mp4", "Is <region> near <region>?", [Point(0, 5, 5)], "names 2 <region>, but 1 region is"),
        ("clip.mp4", "<|im_end|>", [], "control token"),
        ("clip.mp4", "What is \udcff?", [], "is not text in UTF-8"),
        ("clip\udcff.mp4", QUESTION, [], "is not a name in UTF-8"),
    ],
)
def test_an_unusable_video_question_or_region_is_refused(
    home: Path, model: Checkpoint, tmp_path: Path, video: str, question: str, regions: list, message: str
) -> None:
    """Catches a crash, or a guess, where the user has made a mistake."""
    (home / "torn.mp4").write_bytes((home / "clip.mp4").read_bytes()[:700])
    with pytest.raises(UserError) as caught:
        model.ask(home / video, question, regions=regions)
    assert message in str(caught.value)
    assert str(caught.value).count(str(home)) <= 1


def test_a_folder_without_a_finished_checkpoint_is_refused(home: Path, tmp_path: Path) -> None:
    """Catches an unfinished checkpoint that is used, and one that is guessed from its parent folder."""
    shutil.copytree(home / "checkpoint", tmp_path / "stage1" / "abc")
    with pytest.raises(UserError, match=r"Give .*stage1/abc\."):
        load_checkpoint(tmp_path / "stage1")
    (tmp_path / "stage1" / "abc" / "record.json").unlink()
    with pytest.raises(UserError, match="not a finished checkpoint"):
        load_checkpoint(tmp_path / "stage1" / "abc")
    commit_artifact(Location.parse(tmp_path / "data"), record("prepare"))
    with pytest.raises(UserError, match="kind prepare, which holds no model"):
        load_checkpoint(tmp_path / "data")
    with pytest.raises(UserError, match="Choose auto, cpu or cuda"):
        load_checkpoint(home / "checkpoint", device="tpu")


def test_a_model_without_a_plan_answers_like_its_checkpoint(
    home: Path, answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published layout, from a folder and from the hub. Catches weights, sizes or a tokenizer that are
    read differently from the checkpoint's, and an answer that does not record its weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "org" / "export"
    export(Location.parse(home / "checkpoint"), folder)
    near = load_checkpoint(folder, device="cpu", max_new_tokens=8)
    with small_hub(tmp_path, tmp_path / "hub"):
        far = load_checkpoint("hf://org/export", device="cpu", max_new_tokens=8)
    for model in (near, far):
        made = model.ask(home / "clip.mp4", QUESTION)
        assert (made.text, made.spans, made.masks) == (answer.text, answer.spans, answer.masks)
    assert (far.settings.checkpoint, far.settings.digest) == ("hf://org/export", COMMIT)
    assert near.settings.digest == load_checkpoint(folder).settings.digest
    weights = next(folder.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert load_checkpoint(folder).settings.digest != near.settings.digest


def test_a_model_without_its_tokenizer_is_reported(home: Path, tmp_path: Path) -> None:
    """Catches a failure after the load of the weights, and a tokenizer that is guessed."""
    with pytest.raises(UserError, match=r"no tokenizer. Give the folder of its artifact"):
        load_checkpoint(home / "checkpoint" / "model")
    export(Location.parse(home / "checkpoint"), tmp_path / "export")
    next((tmp_path / "export").glob("*.safetensors")).unlink()
    with pytest.raises(UserError, match=r"1 of the 1 files that .* names are missing"):
        load_checkpoint(tmp_path / "export")


def test_importing_the_api_does_not_import_torch() -> None:
    """Catches torch at ``import evaluation``."""
    code = "import sys, evaluation; evaluation.Box(0, 1, 2, 3, 4); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, timeout=60)
    assert done.stdout == "False\n", done.stderr


def test_an_unknown_seg_state_is_refused(home: Path) -> None:
    """Catches an unknown state that is read as the default."""
    with pytest.raises(UserError, match="Choose predicting or published"):
        load_checkpoint(home / "checkpoint", seg_state="other")
    assert load_checkpoint(home / "checkpoint").settings.seg_state is SegState.PREDICTING
