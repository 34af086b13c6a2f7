"""An S3 server that fails at times costs only time; one that fails for good is reported in one sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.storage import s3
from pipeline.storage.location import Location
from tests.pipeline.faulty_s3 import Fault, Plan, faulty, hasten

pytestmark = pytest.mark.slow  # they wait for minutes for servers that fail
BYTES = bytes(range(256)) * 300  # longer than what the proxy sends of an answer that it cuts
FAULTS = [(Fault.SLOW_DOWN, Fault.DROPPED, Fault.INTERNAL), (Fault.CUT, Fault.SLOW_DOWN, Fault.CUT)]
LONG_S = 30


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten only the pauses between two attempts."""
    hasten(monkeypatch)


@pytest.fixture
def root(s3_bucket: str, tmp_path: Path) -> Location:
    """A prefix with a file, some files in folders, and an empty cache."""
    root = Location.parse(s3_bucket + "/some/prefix", tmp_path / "cache")
    (root / "one.bin").write_bytes(BYTES)
    for name in ("a/x.json", "a/b/y.json", "z.txt"):
        (root / name).write_bytes(name.encode())
    return root


def _write(root: Location) -> object:
    (root / "new").write_bytes(BYTES)
    return len(BYTES)


def _put(root: Location) -> object:
    local = Path(root.cache_dir()) / "local"
    local.parent.mkdir(exist_ok=True)
    local.write_bytes(BYTES)
    (root / "put").put_file(local)
    return None


def _copy(root: Location) -> object:
    (root / "one.bin").copy_to(root / "copy")
    return None


def _copy_home(root: Location) -> object:
    target = Location.parse(root.cache_dir() / "home.bin")
    (root / "one.bin").copy_to(target)
    return target.read_bytes()


def _delete(root: Location) -> object:
    (root / "a").delete()
    return None


def _open(root: Location) -> object:
    with (root / "one.bin").open_read() as file:
        file.seek(100)
        return file.read()


OPERATIONS: dict[str, Callable[[Location], object]] = {
    "read": lambda root: (root / "one.bin").read_bytes(),
    "open": _open,
    "write": _write,
    "put": _put,
    "list": lambda root: [f.name for f in root.list(recursive=True)],
    "list one level": lambda root: [f.name for f in root.list()],
    "glob": lambda root: [f.name for f in root.glob("**/*.json")],
    "exists": lambda root: ((root / "one.bin").exists(), (root / "none").exists(), (root / "a").is_dir()),
    "size": lambda root: ((root / "one.bin").size(), (root / "one.bin").stat_key()),
    "fetch": lambda root: (root / "one.bin").fetch().read_bytes(),
    "fetch a folder": lambda root: sorted(p.name for p in (root / "a").fetch_dir().rglob("*.json")),
    "copy": _copy,
    "copy home": _copy_home,
    "delete": _delete,
}
WRITERS = {"write": ["new"], "put": ["put"], "copy": ["copy"]}


@pytest.mark.parametrize("faults", FAULTS, ids=["answers", "bodies"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_succeed_after_temporary_faults(
    name: str,
    faults: tuple[Fault, ...],
    root: Location,
    s3_server: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    expected = (
        OPERATIONS[name](Location.parse(root.uri, tmp_path / "other cache")) if name != "delete" else None
    )
    for written in WRITERS.get(name, ()):
        (root / written).delete()
    plan = Plan(faults, len(faults))
    assert len(faults) < s3.MAX_ATTEMPTS
    with faulty(s3_server, plan) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert OPERATIONS[name](root) == expected
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    assert plan.failed >= 1, "no request failed, so the test checks nothing"
    for written in WRITERS.get(name, ()):
        assert (root / written).read_bytes() == BYTES
    if name == "delete":
        assert [f.name for f in root.list(recursive=True)] == ["one.bin", "z.txt"]
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        *(
            (name, Fault.SLOW_DOWN)
            for name in ("read", "write", "list", "copy", "fetch a folder", "fetch", "exists", "size")
        ),
        *((name, Fault.DROPPED) for name in ("write", "fetch")),
        *((name, Fault.INTERNAL) for name in ("list", "fetch")),
        *((name, Fault.CUT) for name in ("read", "open", "fetch", "list")),
    ],
)
def test_a_server_that_keeps_failing_is_reported(
    name: str, fault: Fault, root: Location, s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun = time.monotonic()
    with faulty(s3_server, Plan([fault], 10**9)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(UserError) as caught:
            OPERATIONS[name](root)
    assert time.monotonic() - begun < LONG_S
    message = str(caught.value)
    assert message.startswith(f"{root.uri}")
    assert "the S3 server fails (" in message or "the S3 server does not answer (" in message
    assert "run the same command to go on" in message
    assert "\n" not in message
    assert not [p for p in tmp_path.rglob("*.bin") if p.is_file()], "a partial file is left"
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_full_disk_is_not_reported_as_a_fault_of_the_server(
    root: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(s3.filesystem(), "get_file", full)
    with pytest.raises(OSError, match="No space left"):
        (root / "one.bin").fetch()


def test_refused_access_is_reported_without_retries(
    root: Location, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan([Fault.REFUSED], 10**9)
    with faulty(s3_server, plan) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(UserError, match=r"refuses access .*Check the credentials"):
            (root / "one.bin").read_bytes()
    assert plan.failed <= 2, "refused requests must not be repeated"
