"""The page's server with a real checkpoint over real HTTP: answers, refusals, and the queue."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from socket import gethostname
from urllib.parse import urlsplit

import httpx2
import numpy as np
import pytest
from answering_checkpoint import QUESTION, TEXT
from PIL import Image
from serving import LIMITS, Gate, ask, page, upload
from starlette.datastructures import Headers
from tiny_bench import FRAMES, HEIGHT, WIDTH

from evaluation import Answer, Box, Checkpoint, Point
from evaluation.serve.__main__ import listen
from evaluation.serve.guard import fault
from evaluation.serve.question_queue import Progress, QuestionQueue, State
from evaluation.serve.videos import shown_name
from pipeline.errors import UserError
from pipeline.media.video import decode
from pipeline.records.sample import REGION
from tests.datasets_prep.clips import write_clip

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to offer: a clip, a long one, a text, and links to what is outside."""
    root = tmp_path_factory.mktemp("offered")
    (root / "videos").mkdir()
    (root / "videos" / "Ein Ball.mp4").write_bytes((home / "clip.mp4").read_bytes())
    (root / "videos" / "notes.txt").write_text("not a video")
    (root / "videos" / "outside.mp4").symlink_to(home / "clip.mp4")
    (root / "videos" / "inside.mp4").symlink_to(root / "videos" / "Ein Ball.mp4")
    write_clip(root / "videos" / "long.mp4", frames=70, fps=1)
    return root / "videos"


@pytest.fixture(scope="module")
def client(
    model: Checkpoint, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    with page(model, tmp_path_factory.mktemp("served") / "uploads", folder) as client:
        yield client


@pytest.fixture(scope="module")
def video(client: httpx2.Client, home: Path) -> str:
    return upload(client, home / "clip.mp4")["id"]


def test_an_answer_on_the_page_is_that_of_predict(client: httpx2.Client, home: Path, answer: Answer) -> None:
    """Catches a question or a video that is processed unlike `ufvideo predict` does it, and lost states."""
    video = upload(client, home / "clip.mp4", "M%C3%BCller.mp4")
    expected = {"name": "Müller.mp4", "frames": FRAMES, "width": WIDTH, "height": HEIGHT, "starts_s": []}
    assert {k: video[k] for k in expected} == expected
    assert video["media_type"] == "video/mp4"
    *before, last = ask(client, video["id"], QUESTION)
    states = [reply["state"] for reply in before]
    assert sorted(states, key=list(State).index) == states
    assert set(states) <= {"queued", "decoding", "answering", "segmenting"}
    found, record = last["answer"]["record"], json.loads(json.dumps(answer.record()))
    assert found["video"].pop("uri") == "Müller.mp4"
    record["video"].pop("uri")
    assert found == record
    seg, start, end = last["answer"]["pieces"]
    assert seg == {"text": "[SEG]", "object": 1}
    assert (start["seconds"], end["seconds"]) == (answer.spans[0].start_s, answer.spans[0].end_s)
    visible, share = answer.coverage(answer.masks[0])
    assert last["answer"]["objects"] == [{"visible": visible, "share": share}]
    assert "".join(piece["text"] for piece in last["answer"]["pieces"]) == TEXT


def test_regions_of_the_page_are_those_of_predict(
    client: httpx2.Client, home: Path, model: Checkpoint, video: str
) -> None:
    """Catches a box and a point that are confused, reordered or rounded."""
    drawn = [
        {"kind": "box", "frame": 7, "x1": 3, "y1": 4, "x2": 40, "y2": 30},
        {"kind": "point", "frame": 5, "x": 30, "y": 20},
    ]
    text = f"Is {REGION} left of {REGION}?"
    last = ask(client, video, text, drawn)[-1]
    same = model.check(home / "clip.mp4", text, regions=[Box(7, 3, 4, 40, 30), Point(5, 30, 20)])
    assert last["answer"]["record"]["identity"] == same.identity


def test_the_file_and_single_frames_are_served(client: httpx2.Client, home: Path, video: str) -> None:
    """Catches parts of a file at the wrong place, and a frame under another number."""
    content = (home / "clip.mp4").read_bytes()
    part = client.get(f"/api/videos/{video}/file", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content, part.headers["content-type"]) == (
        206,
        content[100:200],
        "video/mp4",
    )
    (expected,) = decode(home / "clip.mp4", [9])
    picture = np.asarray(Image.open(BytesIO(client.get(f"/api/videos/{video}/frames/9.jpg").content)))
    others = [
        np.abs(picture.astype(int) - p.astype(int)).mean() for p in decode(home / "clip.mp4", range(16))
    ]
    assert picture.shape == expected.shape
    assert int(np.argmin(others)) == 9
    reply = client.get(f"/api/videos/{video}/frames/16.jpg")
    assert (reply.status_code, reply.json()["problem"]) == (404, "has no frame 16: it has 16.")


def test_only_files_of_the_folder_are_offered_and_opened(client: httpx2.Client, home: Path) -> None:
    """Catches a name that is joined to a path, and a link that leads out of the folder."""
    start = client.get("/api/start").json()
    assert start["listed"] == ["Ein Ball.mp4", "inside.mp4", "long.mp4"]
    assert start["listed_outside"] == 1
    opened = client.post("/api/listed", json={"name": "Ein Ball.mp4"}).json()
    assert (opened["name"], opened["frames"]) == ("Ein Ball.mp4", FRAMES)
    for name in ("outside.mp4", "../videos/Ein Ball.mp4", str(home / "clip.mp4"), "notes.txt", "", "\0"):
        reply = client.post("/api/listed", json={"name": name})
        assert reply.status_code == 404, name
        assert "is not in the folder of videos" in reply.json()["problem"]
    long = client.post("/api/listed", json={"name": "long.mp4"})
    assert long.status_code == 413
    assert long.json()["problem"] == "lasts 1 min 10 s, and the longest accepted here is 1 min."


def test_names_of_uploads_are_never_paths(client: httpx2.Client, home: Path, tmp_path: Path) -> None:
    """Catches an upload that is written where its name says."""
    for sent, shown in (
        ("../../evil.mp4", "evil.mp4"),
        (f"{tmp_path}/evil.mp4", "evil.mp4"),
        ("..%2F..%2Fevil.mp4", "evil.mp4"),
        ("C:\\videos\\evil.mp4", "evil.mp4"),
        ("%00%0Aevil%E2%80%AE.mp4", "evil.mp4"),
        ("..", ".."),
        ("", "the video"),
    ):
        assert upload(client, home / "clip.mp4", sent)["name"] == shown, sent
    assert not list(tmp_path.parent.rglob("evil*"))
    assert len(shown_name("x" * 500)) < 130
    for path in (
        "/page/../__main__.py",
        "/page/%2e%2e/__main__.py",
        "/page//etc/passwd",
        "/api/videos/../start",
    ):
        # Sent as it is: a client of its own would tidy the path up.
        assert b"404" in _raw(client, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")


def _raw(client: httpx2.Client, request: str) -> bytes:
    import socket

    address = urlsplit(str(client.base_url))
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(request.encode())
        return connection.makefile("rb").read()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Host": "10.0.0.1"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 201),  # a tunnel
        ({}, 201),
    ],
)
def test_other_pages_are_refused(
    client: httpx2.Client, home: Path, headers: dict[str, str], status: int
) -> None:
    """Catches DNS rebinding and requests of other pages."""
    reply = client.post("/api/videos", content=(home / "clip.mp4").read_bytes(), headers=headers)
    assert reply.status_code == status, reply.text
    if "Origin" not in headers:
        again = client.get("/api/start", headers=headers)
        assert again.status_code == (200 if status == 201 else status)
    assert "default-src 'none'" in reply.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("listens", "named", "ours"),
    [
        ("127.0.0.1", "[::1]:8000", True),
        ("127.0.0.1", gethostname(), False),
        ("0.0.0.0", gethostname(), True),
        ("0.0.0.0", "192.0.2.7:8000", True),
        ("0.0.0.0", "evil.example", False),
        ("gpu.example", "gpu.example:8000", True),
    ],
)
def test_the_names_of_a_server_depend_on_where_it_listens(listens: str, named: str, ours: bool) -> None:
    """Catches a server for others that nobody can open, and one that any name leads to."""
    assert (fault("GET", Headers({"host": named}), listens) is None) is ours


def test_a_link_from_another_page_opens_this_one(client: httpx2.Client) -> None:
    """Catches a check that refuses an address that somebody has sent."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=headers).status_code == 200


def test_what_is_no_video_is_refused_in_words(client: httpx2.Client, home: Path, tmp_path: Path) -> None:
    """Catches a traceback, a local path in a message, a playlist that reads other files, and left files."""
    clip = (home / "clip.mp4").read_bytes()
    write_clip(tmp_path / "long.mp4", frames=70, fps=1)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{home}/clip.mp4\n#EXT-X-ENDLIST\n"
    cases = (
        (b"", 422, "is empty"),
        (b"just text " * 50, 422, "no readable video"),
        (clip[: len(clip) * 2 // 3], 422, "cannot be read"),
        (playlist.encode(), 422, "no readable video"),
        (f"ffconcat version 1.0\nfile {home}/clip.mp4\n".encode(), 422, "no readable video"),
        ((tmp_path / "long.mp4").read_bytes(), 413, "lasts 1 min 10 s"),
        (b"x" * (LIMITS.upload_bytes + 1), 413, "has 300 kB, and the largest upload accepted here is 300 kB"),
    )
    for content, status, problem in cases:
        reply = client.post("/api/videos", content=content, headers={"X-File-Name": "a.mp4"})
        assert (reply.status_code, reply.json()["where"]) == (status, "a.mp4"), reply.text
        assert problem in reply.json()["problem"]
        assert reply.json()["fix"]
        assert "/tmp" not in reply.text
        assert "Traceback" not in reply.text


def test_an_upload_that_is_too_large_is_stopped_while_it_arrives(model: Checkpoint, tmp_path: Path) -> None:
    """Catches a limit that trusts the announced size, and a file that stays."""
    with page(model, tmp_path / "uploads") as client:
        sent = 0

        def chunks() -> Iterator[bytes]:
            nonlocal sent
            for _ in range(1000):
                sent += 100_000
                yield b"x" * 100_000
                time.sleep(0.001)

        try:
            reply = client.post("/api/videos", content=chunks())
            assert reply.status_code == 413
            assert "has more" in reply.json()["problem"]
        except httpx2.TransportError:  # the server closes while the client is still sending
            pass
        assert sent < 50_000_000
        deadline = time.monotonic() + 10
        while list((tmp_path / "uploads").iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not list((tmp_path / "uploads").iterdir())


def test_uploads_make_room_for_one_another_and_go_with_their_page(
    model: Checkpoint, home: Path, tmp_path: Path
) -> None:
    """Catches a disk that fills up, and a video that is gone without a word."""
    with page(model, tmp_path / "uploads") as client:
        ids = [upload(client, home / "clip.mp4")["id"] for _ in range(LIMITS.open_videos + 1)]
        assert sorted(p.name for p in (tmp_path / "uploads").iterdir()) == sorted(ids[1:])
        body = {"video": ids[0], "text": QUESTION}
        reply = client.post("/api/questions", json=body)
        assert (reply.status_code, reply.json()["fix"]) == (404, "Open it again.")
        assert client.delete(f"/api/videos/{ids[1]}").status_code == 204
        assert sorted(p.name for p in (tmp_path / "uploads").iterdir()) == sorted(ids[2:])


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"text": ""}, "is empty"),
        ({"text": f"What is {REGION}?"}, f"has 1 {REGION}, and nothing is pointed at"),
        ({"text": "x" * 2001}, "at most 2000 characters"),
        ({"text": "?", "regions": [{"kind": "box", "frame": 0, "x1": 0}]}, "Field required"),
        ({"text": "?", "regions": [{"kind": "mask", "frame": 0, "path": "/etc/passwd"}]}, "'box', 'point'"),
        (
            {"text": REGION, "regions": [{"kind": "point", "frame": 16, "x": 1, "y": 1}]},
            "is after the end of a video of 16 frames",
        ),
        (
            {"text": REGION, "regions": [{"kind": "box", "frame": 0, "x1": 0, "y1": 0, "x2": 65, "y2": 9}]},
            "extends beyond the frame, which is 64x48",
        ),
        (
            {"text": REGION, "regions": [{"kind": "box", "frame": 0, "x1": 9, "y1": 0, "x2": 9, "y2": 9}]},
            "has no area",
        ),
        ({"text": "?", "device": "cuda"}, "Extra inputs"),
    ],
)
def test_questions_that_do_not_fit_are_refused(
    client: httpx2.Client, home: Path, video: str, body: dict[str, object], problem: str
) -> None:
    """Catches a bad question that reaches the model, or a region that opens a file."""
    used = upload(client, home / "clip.mp4")["id"]
    reply = client.post("/api/questions", json={"video": used} | body)
    assert reply.status_code == 400, reply.text
    assert problem in reply.json()["problem"]


def test_a_question_has_to_be_json_and_short(client: httpx2.Client) -> None:
    """Catches a form of another page, which can send text but no JSON, and endless bodies."""
    assert (
        client.post("/api/questions", content="{}", headers={"Content-Type": "text/plain"}).status_code == 415
    )
    headers = {"Content-Type": "application/json"}
    assert client.post("/api/questions", content="{", headers=headers).status_code == 400
    assert client.post("/api/questions", content=b" " * 70_000, headers=headers).status_code == 413


def test_questions_wait_in_order_and_absent_pages_are_dropped(
    model: Checkpoint, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches questions that overtake, an unbounded queue, and work for a page that is gone."""
    gate = Gate()
    monkeypatch.setattr(Checkpoint, "answer", gate.holding(Checkpoint.answer))
    with page(model, tmp_path / "uploads") as client:
        video = upload(client, home / "clip.mp4")["id"]
        states: dict[str, list[dict[str, object]]] = {"one": [], "three": []}

        def send(text: str) -> threading.Thread:
            thread = threading.Thread(target=lambda: ask(client, video, text, states=states[text]))
            thread.start()
            return thread

        def wait(test: object) -> None:
            deadline = time.monotonic() + 20
            while not test() and time.monotonic() < deadline:  # type: ignore[operator]
                time.sleep(0.01)
            assert test()  # type: ignore[operator]

        first = send("one")
        wait(lambda: gate.asked == ["one"])
        body = {"video": video, "text": "gone"}
        with client.stream("POST", "/api/questions", json=body) as gone:
            lines = gone.iter_lines()
            assert json.loads(next(lines)) == {"state": "queued", "before": 1, "done": 0, "total": 0}
            third = send("three")
            wait(lambda: states["three"])
            full = client.post("/api/questions", json=body)
            assert full.status_code == 429
            assert "is full: 2 questions are waiting" in full.json()["problem"]
            client.delete(f"/api/videos/{video}")  # not before the questions about it are answered
        # Its page has closed the connection: the third one is next.
        wait(lambda: any(reply["before"] == 1 for reply in states["three"]))
        gate.open.set()
        first.join(30)
        third.join(30)
        assert gate.asked == ["one", "three"]
        assert [states[text][-1]["state"] for text in ("one", "three")] == ["answered"] * 2
        waited = [reply["before"] for reply in states["three"] if reply["state"] == "queued"]
        assert waited[0] == 2
        assert 1 in waited
        wait(lambda: not list((tmp_path / "uploads").iterdir()))
        upload(client, home / "clip.mp4")  # and the server goes on


def test_an_answer_that_nobody_waits_for_ends_at_the_next_frame(model: Checkpoint, home: Path) -> None:
    """Catches a model that segments all frames of a video for a page that is gone."""
    question = model.check(home / "clip.mp4", QUESTION)
    frames: list[int] = []
    ended = threading.Event()

    def answer(question: object, on_frames: object, on_decoded: object) -> Answer:
        def counted(done: int) -> None:
            frames.append(done)
            on_frames(done)  # type: ignore[operator]

        try:
            return model.answer(question, counted, on_decoded)  # type: ignore[arg-type]
        finally:
            ended.set()

    queue = QuestionQueue(answer, 4)
    seen: list[State] = []

    def changed() -> None:
        seen.append(job.progress.state)
        if job.progress.state is State.SEGMENTING:
            queue.drop(job)

    job = queue.put(question, lambda: changed())
    threading.Thread(target=queue.work, daemon=True).start()
    assert ended.wait(30)
    assert seen == [State.DECODING, State.ANSWERING, State.SEGMENTING]
    assert len(frames) == 2 < FRAMES
    assert job.progress == Progress(state=State.SEGMENTING, done=frames[0], total=FRAMES)


def test_a_failure_of_the_model_ends_one_question(
    model: Checkpoint, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    """Catches a server that dies or stays silent with the first failure."""
    real = Checkpoint.answer

    def failing(self: Checkpoint, question: object, *rest: object) -> Answer:
        if question.text == "Fail?":  # type: ignore[attr-defined]
            raise RuntimeError("out of memory")
        if question.text == "Damaged?":  # type: ignore[attr-defined]
            path = question.clip.path  # type: ignore[attr-defined]
            raise UserError(str(path), f"{path} cannot be read.", "Fetch it again.")
        return real(self, question, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Checkpoint, "answer", failing)
    with page(model, tmp_path / "uploads") as client:
        video = upload(client, home / "clip.mp4")["id"]
        error = ask(client, video, "Fail?")[-1]["error"]
        assert (error["where"], error["problem"]) == ("the model", "failed (out of memory).")
        assert "RuntimeError: out of memory" in capfd.readouterr().err
        error = ask(client, video, "Damaged?")[-1]["error"]
        assert (error["where"], error["problem"]) == ("clip.mp4", "clip.mp4 cannot be read.")
        assert ask(client, video, QUESTION)[-1]["state"] == "answered"


def test_a_port_in_use_is_reported() -> None:
    """Catches a traceback after the weights are loaded."""
    with listen("127.0.0.1", 0) as taken, pytest.raises(UserError, match="--port 0 for one that is free"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_the_command_serves_and_leaves_nothing_behind(home: Path, tmp_path: Path) -> None:
    """Catches an address that is not printed, a Ctrl-C that waits, and uploads that stay."""
    code = "import sys; from pipeline.commands.cli import main; sys.exit(main())"
    typed = [
        "serve",
        str(home / "checkpoint"),
        "--port",
        "0",
        "--device",
        "cpu",
        "--upload-folder",
        str(tmp_path),
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *typed],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        # A test run in the background ignores Ctrl-C, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        start_new_session=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    found = re.fullmatch(r"Next: open (http://127\.0\.0\.1:\d+) .*\n", first)
    assert found, first
    with httpx2.Client(base_url=found[1]) as client:
        assert "<title>Ask a video</title>" in client.get("/").text
        upload(client, home / "clip.mp4")
        assert len(list(tmp_path.glob("*/*/video"))) == 1
        with client.stream("GET", "/api/start"):  # an open connection does not keep it from ending
            began = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(20) == 130
    assert time.monotonic() - began < 5
    assert not list(tmp_path.iterdir())
