"""The page of `ufvideo serve` in a browser, from upload to drawn mask. Needs Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import httpx2
import numpy as np
import pytest
from answering_checkpoint import QUESTION, TEXT
from chromium import Command, Files
from serving import page
from tiny_bench import FPS, FRAMES, HEIGHT, WIDTH

from evaluation import Answer, Checkpoint
from evaluation.predict.overlay import OBJECT_COLOURS
from pipeline.media.video import decode
from pipeline.records import masks
from pipeline.records.sample import REGION

TOOLS = """
const at = id => document.getElementById(id);
const until = async test => {
  while (!await test()) await new Promise(done => setTimeout(done, 10));
  return true;
};
const screen_ = () => document.querySelector("#screen > *");
const seek = async frame => {
  if (at("clock").textContent.endsWith(`frame ${frame}`)) return;
  const picture = screen_();
  const moves = picture.tagName === "VIDEO" && new Promise(done => picture.requestVideoFrameCallback(done));
  at("scrub").value = frame;
  at("scrub").dispatchEvent(new Event("input"));
  await moves;
  await until(() => at("clock").textContent.endsWith(`frame ${frame}`));
};
const pixels = source => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [at("masks").width, at("masks").height];
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
};
const each = async act => {
  const all = [];
  for (let frame = 0; frame < 16; frame++) { await seek(frame); all.push(act()); }
  return all;
};
const ask = async text => {
  at("question").value = text;
  at("form").requestSubmit();
  await until(() => !document.body.classList.contains("busy"));
  return at("problem").textContent;
};
// What is drawn at each picture while the video plays.
const watch = () => new Promise(done => {
  const seen = [], video = screen_();
  const next = (_, {mediaTime}) => {
    seen.push([mediaTime, Number(at("masks").dataset.frame)]);
    if (seen.length < 8) video.requestVideoFrameCallback(next);
    else { at("play").click(); done(seen); }
  };
  video.requestVideoFrameCallback(next);
  at("play").click();
});
// The parameters of a mouse event at a pixel of the video.
const mouse = (type, x, y) => {
  const box = at("marks").getBoundingClientRect(), scale = box.width / at("masks").width;
  return {type, x: box.left + x * scale, y: box.top + y * scale, button: "left", clickCount: 1};
};
const violations = [], sent = [], request = fetch;
addEventListener("securitypolicyviolation", event => violations.push(event.violatedDirective));
fetch = (path, options = {}) => {
  if (path === "/api/questions") sent.push(JSON.parse(options.body).regions);
  return request(path, options);
};
"""
READY = TOOLS + "until(() => 'ready' in document.body.dataset)"
OPEN = "until(() => !at('work').hidden || !at('open-problem').hidden)"
SHIFT = 8  # of the protocol's modifiers
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def browser() -> str:
    return chromium.browser()


@pytest.fixture(scope="module")
def client(
    model: Checkpoint, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    folder = tmp_path_factory.mktemp("offered")
    (folder / "a ball.mp4").write_bytes((home / "clip.mp4").read_bytes())
    with page(model, tmp_path_factory.mktemp("served") / "uploads", folder) as client:
        yield client


def mouse(kind: str, x: float, y: float) -> Command:
    """At a pixel of the video."""
    return Command("Input.dispatchMouseEvent", f"mouse('mouse{kind}', {x}, {y})")


def key(name: str, modifiers: int = 0) -> list[Command]:
    kinds = ("keyDown", "keyUp")
    return [
        Command("Input.dispatchKeyEvent", {"type": kind, "key": name, "modifiers": modifiers})
        for kind in kinds
    ]


def drawn(found: list[int]) -> np.ndarray:
    """RGBA [H, W, 4] of the tools' ``pixels``."""
    return np.array(found, np.uint8).reshape(HEIGHT, WIDTH, 4)


def test_from_upload_to_drawn_mask(browser: str, client: httpx2.Client, home: Path, answer: Answer) -> None:
    """Catches masks on another frame, mirrored or late, and a picture under another number."""
    found = chromium.look(
        browser,
        str(client.base_url),
        [
            READY,
            Files("#file", home / "clip.mp4"),
            OPEN,
            "[at('name').textContent, at('mode').hidden, at('facts').textContent]",
            f"ask({json.dumps(QUESTION)})",
            "document.querySelector('.said').textContent",
            "each(() => pixels(at('masks')))",
            "each(() => pixels(screen_()))",
            "[...document.querySelectorAll('.lane')].map(lane => [lane.className, "
            "[...lane.children].map(bar => [parseFloat(bar.style.left), parseFloat(bar.style.width)])])",
            "seek(0).then(watch)",
            "violations",
            OVERFLOW,
        ],
        width=1400,
    )
    title, problem, text, shown, pictures, lanes, watched, violations, overflow = found[3:]
    assert title == ["clip.mp4", True, "2.00 s · 16 frames · 64 × 48"]
    assert (problem, text) == ("", TEXT)
    (track,) = answer.masks
    areas = set()
    for frame, layer in enumerate(map(drawn, shown)):
        mask = masks.decode(track.counts[frame], HEIGHT, WIDTH)
        np.testing.assert_array_equal(layer[..., 3] > 0, mask > 0, str(frame))
        assert {tuple(c) for c in layer[layer[..., 3] == 255][:, :3].tolist()} <= {OBJECT_COLOURS[0]}
        areas.add(int(mask.sum()))
    assert len(areas) > 1, "with equal masks the test would show nothing"
    truth = decode(home / "clip.mp4", range(FRAMES)).astype(int)
    for frame in range(4, FRAMES):  # the square is in none of the first four
        off = np.abs(truth[4:] - drawn(pictures[frame])[None, ..., :3]).mean((1, 2, 3))
        assert int(off.argmin()) == frame - 4
    (kind, ((left, width),)), (second, seen) = lanes
    (span,) = answer.spans
    assert (kind, second) == ("lane span", "lane seen")
    assert (left, width) == pytest.approx((50 * span.start_s, 50 * (span.end_s - span.start_s)), abs=1e-3)
    visible = [bool(masks.area(c, HEIGHT, WIDTH)) for c in track.counts]
    assert sum(width for _, width in seen) == pytest.approx(100 * sum(visible) / FRAMES, abs=1e-3)
    assert [frame for _, frame in watched] == [round(time * FPS) for time, _ in watched]
    assert len({frame for _, frame in watched}) > 3
    assert (violations, overflow) == ([], 0)


def test_what_a_browser_cannot_play_is_shown_as_pictures(
    browser: str, client: httpx2.Client, tmp_path: Path, home: Path, model: Checkpoint
) -> None:
    """Catches a black screen for a codec that no browser has, and masks on another picture."""
    reasons = {
        "old.avi": "browsers do not play files of this kind",
        "old.mp4": "this browser cannot decode it",
    }
    steps: list[Any] = [READY]
    for name in reasons:
        write_mpeg4(tmp_path / name, home / "clip.mp4")
        steps += [
            Files("#file", tmp_path / name),
            OPEN,
            f"ask({json.dumps(QUESTION)})",
            "[at('mode').textContent, at('name').textContent, screen_().tagName, at('sound-label').hidden]",
            "seek(9).then(() => pixels(at('masks')))",
            "pixels(screen_())",
            "at('play').click(); until(() => at('clock').textContent.endsWith('frame 15') "
            "&& at('play').getAttribute('aria-label') === 'Play')",
            "at('other').click()",
        ]
    found = chromium.look(browser, str(client.base_url), steps)[1:]
    for name, reason in reasons.items():
        (_, _, problem, (mode, title, kind, silent), shown, picture, played, _), found = found[:8], found[8:]
        assert (problem, title, kind, silent, played) == ("", name, "IMG", True, True)
        assert mode.startswith(
            f"Shown as pictures that the server decodes, without sound, because {reason}. The rule: "
        )
        made = model.ask(tmp_path / name, QUESTION)
        expected = made.masks[0].counts[9] if made.masks else masks.empty(HEIGHT, WIDTH)
        np.testing.assert_array_equal(drawn(shown)[..., 3] > 0, masks.decode(expected, HEIGHT, WIDTH) > 0)
        truth = decode(tmp_path / name, range(FRAMES)).astype(int)
        off = np.abs(truth - drawn(picture)[None, ..., :3]).mean((1, 2, 3))
        assert int(off.argmin()) == 9


def write_mpeg4(path: Path, source: Path) -> None:
    """The frames of a clip as MPEG-4 part 2, which browsers do not decode."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in decode(source, range(FRAMES)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_boxes_and_points_by_mouse_and_keyboard(browser: str, client: httpx2.Client) -> None:
    """Catches a gesture on other pixels or another frame, and a region without its word in the question."""
    chips = "[...document.querySelectorAll('#regions li')].map(chip => chip.textContent)"
    steps: list[Any] = [
        READY,
        "document.querySelector('#names button').click()",
        OPEN,
        "seek(7)",
        mouse("Pressed", 40.5, 30.5),
        mouse("Moved", 20, 20),
        mouse("Released", 10.5, 8.5),
        mouse("Pressed", 30.5, 20.5),
        mouse("Released", 30.5, 20.5),
        "at('marks').focus()",
        *key("Enter"),
        *key("ArrowRight", SHIFT),
        *key("ArrowRight", SHIFT),
        *key("ArrowDown", SHIFT),
        *key("ArrowDown"),
        *key("Enter"),
        f"[at('question').value, {chips}]",
        "document.querySelectorAll('#regions .remove')[1].click()",
        f"[at('question').value, {chips}, document.querySelectorAll('#marks .region').length]",
        "ask(at('question').value)",
        "sent",
        "ask('What is it?')",
    ]
    three, _, two, problem, sent, refused = chromium.look(browser, str(client.base_url), steps)[-6:]
    names = [f"{k}: {kind} at 0.88 s×" for k, kind in enumerate(("box", "point", "box"), 1)]
    assert three == [f"What is {REGION} {REGION} {REGION}?", names]
    assert two == [f"What is {REGION} {REGION}?", [names[0], "2: box at 0.88 s×"], 2]
    assert problem == ""
    by_mouse = {"kind": "box", "frame": 7, "x1": 10, "y1": 8, "x2": 41, "y2": 31}
    by_keyboard = {"kind": "box", "frame": 7, "x1": 32, "y1": 24, "x2": 45, "y2": 32}
    assert sent == [[by_mouse, by_keyboard]]
    assert refused.startswith(f"Your question has no {REGION}, and 2 are pointed at.")


def test_errors_are_sentences_and_a_phone_has_room(
    browser: str, model: Checkpoint, answer: Answer, tmp_path: Path, home: Path
) -> None:
    """Catches an error that stays or is only logged, a page wider than the screen, and masks made up between.

    Of the video's frames 0, 5, 10 and 15 have masks.
    """
    (tmp_path / "notes.mp4").write_text("not a video")
    (tmp_path / "large.mp4").write_bytes(b"x" * 300_001)
    problem = "until(() => !at('open-problem').hidden).then(() => at('open-problem').textContent)"
    steps = [
        READY,
        Files("#file", tmp_path / "notes.mp4"),
        problem,
        "at('open-problem').hidden = true",
        Files("#file", tmp_path / "large.mp4"),
        problem,
        Files("#file", home / "clip.mp4"),
        "until(() => !at('work').hidden)",
        f"ask({json.dumps(QUESTION)})",
        "at('open-problem').hidden",
        "seek(9).then(() => [at('held').textContent, pixels(at('masks'))])",
        "document.querySelector('.notes').textContent",
        "at('question').value = 'x'.repeat(500)",
        OVERFLOW,
    ]
    with page(model, tmp_path / "uploads", frames=4) as client:
        found = chromium.look(browser, str(client.base_url), steps, width=390, height=844, scheme="dark")
    text, large, hidden, (held, layer), note, overflow = (found[n] for n in (2, 5, 9, 10, 11, 13))
    assert text.startswith("notes.mp4 cannot be read: no readable video")
    assert text.endswith("Choose a video file, such as an MP4.")
    assert large.startswith("large.mp4 is too large: at most 300 kB are accepted here.")
    assert held == "The masks are those of frame 5: not every frame was segmented."
    fifth = masks.decode(answer.masks[0].counts[5], HEIGHT, WIDTH)
    np.testing.assert_array_equal(drawn(layer)[..., 3] > 0, fifth > 0)
    assert note == "4 of the video's 16 frames have masks."
    assert (hidden, overflow) == (True, 0)
