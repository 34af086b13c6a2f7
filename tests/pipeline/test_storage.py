"""The same storage code on a local disk and on a real S3 server."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.storage import listing
from pipeline.storage.location import Location
from tests.pipeline.counting_s3 import counted
from tests.pipeline.faulty_s3 import hasten

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "local":
        return Location.parse(tmp_path / "store")
    return Location.parse(request.getfixturevalue("s3_bucket") + "/some/prefix", tmp_path / "cache")


def test_files_are_written_read_listed_and_deleted(root: Location):
    assert not root.exists()
    assert root.list() == []
    (root / "b.txt").write_text("zwei")
    (root / "a.bin").write_bytes(b"\x00\x01")
    (root / "sub/c.txt").write_text("drei")
    assert root.exists()
    assert root.is_dir()
    assert not (root / "b.txt").is_dir()
    assert (root / "b.txt").read_text() == "zwei"
    assert (root / "a.bin").size() == 2
    assert [e.name for e in root.list()] == ["a.bin", "b.txt", "sub"]
    assert [e.name for e in root.list(".txt")] == ["b.txt"]
    assert root.list(recursive=True) == [root / "a.bin", root / "b.txt", root / "sub/c.txt"]
    (root / "b.txt").delete()
    assert not (root / "b.txt").exists()
    root.delete()
    assert not root.exists()
    root.delete()  # deleting nothing is not an error


def test_reading_a_missing_file_raises_file_not_found(root: Location):
    with pytest.raises(FileNotFoundError):
        (root / "none").read_bytes()


def test_overwriting_replaces_and_changes_the_stat_key(root: Location):
    place = root / "x"
    place.write_bytes(b"one")
    before = place.stat_key()
    assert place.stat_key() == before
    place.write_bytes(b"three")
    assert place.read_bytes() == b"three"
    assert place.stat_key() != before


def test_an_opened_file_can_seek(root: Location):
    (root / "x").write_bytes(bytes(range(200)))
    with (root / "x").open_read() as file:
        file.seek(100)
        assert file.read(3) == bytes([100, 101, 102])


def test_files_and_folders_are_put_and_fetched(root: Location, tmp_path: Path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "one.txt").write_text("1")
    (source / "deep/two.txt").write_text("2")
    (root / "dir/old.txt").write_text("gone after put_dir")
    (root / "dir").put_dir(source)
    assert [f.uri.removeprefix(root.uri) for f in root.list(recursive=True)] == [
        "/dir/deep/two.txt",
        "/dir/one.txt",
    ]
    (root / "single").put_file(source / "one.txt")
    assert (root / "single").fetch().read_text() == "1"
    fetched = (root / "dir").fetch_dir()
    assert (fetched / "deep/two.txt").read_text() == "2"
    if not root.is_local:
        again = (root / "dir").fetch_dir()
        assert again == fetched
        (root / "dir/one.txt").write_text("changed")
        assert (root / "dir").fetch_dir() != fetched
        assert ((root / "dir").fetch_dir() / "one.txt").read_text() == "changed"
        assert not list((tmp_path / "cache").rglob(".tmp-*"))


def test_a_remote_file_is_fetched_once(s3_bucket: str, tmp_path: Path):
    place = Location.parse(s3_bucket + "/x", tmp_path / "cache")
    place.write_text("content")
    copy = place.fetch()
    copy.write_text("touched by the test")
    assert place.fetch().read_text() == "touched by the test"
    with pytest.raises(UserError, match="remote"):
        _ = place.local_path


@pytest.mark.parametrize("name", ["../../../../../up.txt", "{tmp}/up.txt", "a/../../b", "a\\b"])
def test_a_key_that_leads_out_of_the_folder_is_not_fetched(
    s3_server: str, s3_bucket: str, tmp_path: Path, name
):
    """S3 accepts any key. Fails if the copy of a folder writes outside the cache."""
    import boto3

    client = boto3.client("s3", endpoint_url=s3_server)
    folder = Location.parse(s3_bucket + "/some/prefix", tmp_path / "deep/er/cache")
    (folder / "good.txt").write_text("1")
    client.put_object(
        Bucket=s3_bucket.removeprefix("s3://"), Key=f"some/prefix/{name.format(tmp=tmp_path)}", Body=b"2"
    )
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="leaves this folder") as caught:
        folder.fetch_dir()
    assert caught.value.where == folder.uri
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_failed_write_leaves_the_old_content(tmp_path: Path):
    place = Location.parse(tmp_path / "x")
    place.write_text("old")
    with pytest.raises(FileNotFoundError):
        place.put_file(tmp_path / "not there")
    assert place.read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_files_that_are_put_are_readable_by_other_users(tmp_path: Path):
    """Catches files that keep the mode of a library that writes them only for their owner (safetensors)."""
    source, files = tmp_path / "source", Location.parse(tmp_path / "files")
    (source / "below").mkdir(parents=True, mode=0o700)
    for name in ("weights", "below/more"):
        (source / name).write_text("1")
        (source / name).chmod(0o600)
    files.put_dir(source)
    (files / "file").put_file(source / "weights")
    modes = {p.name: p.stat().st_mode & 0o777 for p in (files.local_path, *files.local_path.rglob("*"))}
    assert modes == {"files": 0o755, "below": 0o755, "weights": 0o644, "more": 0o644, "file": 0o644}


def test_sweep_removes_the_copy_of_a_killed_put_dir(tmp_path: Path):
    target = tmp_path / "store/a"
    code = (
        "import os, shutil, sys; from pathlib import Path; from pipeline.storage.location import Location\n"
        "shutil.copytree = lambda *a, **k: os._exit(9)\n"
        "Location.parse(sys.argv[1]).put_dir(Path(sys.argv[2]))"
    )
    for place in (target, target.with_name("a-b")):
        command = [sys.executable, "-c", code, str(place), str(tmp_path)]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(REPO)}, timeout=60)
        assert done.returncode == 9
    assert len(list(target.parent.iterdir())) == 2
    target.mkdir()
    (target / "x").write_text("")
    Location.parse(target).sweep()
    left = sorted(p.name for p in target.parent.iterdir())
    assert left[1:] == ["a"]
    assert left[0].startswith(".tmp-a-b-"), "another folder's copy may still be written"
    assert (target / "x").exists()


def test_temporary_files_are_not_listed(tmp_path: Path):
    (tmp_path / ".tmp-abc").write_text("half")
    (tmp_path / "x").write_text("")
    assert [e.name for e in Location.parse(tmp_path).list()] == ["x"]
    assert [e.name for e in Location.parse(tmp_path).list(recursive=True)] == ["x"]


@pytest.mark.parametrize("rel", ["../x", "a/../../x", "/etc/passwd", "s3://other/x", "a\\b", "a\0b"])
def test_a_path_that_leaves_its_root_is_refused(root: Location, rel: str):
    with pytest.raises(UserError, match="leaves this folder"):
        root.join(rel)
    with pytest.raises(UserError, match="leaves this folder"):
        _ = root / rel


def test_a_link_that_leaves_its_root_is_refused(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("")
    (tmp_path / "in/out").symlink_to(tmp_path / "secret")
    (tmp_path / "in/real").write_text("")
    (tmp_path / "in/within").symlink_to(tmp_path / "in/real")
    root = Location.parse(tmp_path / "in")
    assert root.join("within").exists()
    with pytest.raises(UserError, match="link"):
        root.join("out")


def test_unknown_schemes_incomplete_uris_and_credentials_are_refused():
    for text in ("http://host/x", "s3://", "gs://bucket/x", "s3://bucket/a/../b"):
        with pytest.raises(UserError):
            Location.parse(text)
    with pytest.raises(UserError, match="credentials") as error:
        Location.parse("s3://key:hush@bucket/x")
    assert "hush" not in str(error.value)


def test_a_location_is_normalised_hashable_and_picklable():
    place = Location.parse("s3://bucket//a/./b/")
    assert place.uri == "s3://bucket/a/b"
    assert pickle.loads(pickle.dumps(place)) == place
    assert len({place, Location.parse("s3://bucket/a/b")}) == 1
    assert Location.parse("x").uri == str(Path.cwd() / "x")


def test_a_missing_bucket_is_a_user_error(s3_server: str):
    with pytest.raises(UserError, match="bucket"):
        Location.parse("s3://no-such-bucket-here/x").write_text("x")


def test_an_s3_server_that_does_not_answer_is_a_user_error(monkeypatch: pytest.MonkeyPatch):
    hasten(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises(UserError, match="does not answer"):
        Location.parse("s3://bucket/x").read_bytes()


def test_glob_patterns_mean_the_same_on_every_storage(root: Location):
    for name in (
        "a.json",
        "b.jsonl",
        "sub/a.json",
        "sub/deep/c.json",
        "sub/.hidden.json",
        ".git/x.json",
        "a[1].json",
    ):
        (root / name).write_text(name)

    def found(pattern: str) -> list[str]:
        return [f.uri.removeprefix(root.uri + "/") for f in root.glob(pattern)]

    assert found("*.json") == ["a.json", "a[1].json"]
    assert found("?.json") == ["a.json"]
    assert found("**/*.json") == ["a.json", "a[1].json", "sub/a.json", "sub/deep/c.json"]
    assert found("*/*.json") == ["sub/a.json"]
    assert found("s?b/**/*.json") == ["sub/a.json", "sub/deep/c.json"]
    assert found("sub/**") == ["sub/a.json", "sub/deep/c.json"]
    assert found("sub/*") == ["sub/a.json"], "folders are not matched"
    assert found("sub/.hidden.json") == ["sub/.hidden.json"]
    assert found("sub/.*") == ["sub/.hidden.json"]
    assert found("a[1].json") == ["a[1].json"], "brackets are literal"
    assert found("sub/a.json") == ["sub/a.json"]
    assert found("none/*.json") == found("none.json") == []
    for pattern in ("../*.json", "/etc/*", "sub/../../*"):
        with pytest.raises(UserError, match="leaves this folder"):
            root.glob(pattern)


def test_stats_of_many_names_equal_those_of_each_and_need_few_requests(
    s3_bucket: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Dense and sparse names, folders, common prefixes, in pages of a few keys."""
    root = Location.parse(f"{s3_bucket}/media", tmp_path / "cache")
    files = [f"{folder}/v{n:02d}.mp4" for folder in ("a", "b c", "ü") for n in range(0, 30, 2)]
    files += ["a.mp4", "still/00000.jpg", "still/00001.jpg", "still-life.mp4", "still.mp4", "z/%25+?#.mp4"]
    for name in [*files, *(f"m/crowd{n:02d}" for n in range(40))]:
        (root / name).write_text(name)
    names = [f"{folder}/v{n:02d}.mp4" for folder in ("a", "b c", "ü", "none") for n in range(30)]
    names += [
        *files,
        "still",
        "stil",
        "a",
        "z",
        "",
        "zz",
        "a/../b",
        "a\\b",
        "x" * 2000,
        "\udc80.mp4",
        "m/crow",
    ]
    existing = {
        name for name in names if name and name.isprintable() and len(name) < 1000 and ".." not in name
    }
    existing = {name for name in existing if "\\" not in name and (root / name).exists()}
    monkeypatch.setattr(listing, "PAGE", 7)
    with counted(s3_server) as (url, requests):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        found = root.stats(names)
    assert set(found) - {""} == existing
    assert {name for name, stat in found.items() if stat.is_dir} - {""} == {"still", "a", "z"}
    assert all(stat.size == len(name.encode()) for name, stat in found.items() if not stat.is_dir)
    needed = len(requests)
    assert needed <= -(-len(root.list(recursive=True)) // 7), "\n".join(requests)
    with counted(s3_server) as (url, requests):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert set(root.stats(["a.mp4", "z/%25+?#.mp4"])) == {"a.mp4", "z/%25+?#.mp4"}
    assert len(requests) <= 2, "keys between the requested names must not be listed"


def test_entries_have_the_stats_of_their_files(root: Location, monkeypatch: pytest.MonkeyPatch):
    for name in ("a.json", "b/c.json", "b/d.txt", "e/f.json"):
        (root / name).write_text(name)
    monkeypatch.setattr(listing, "PAGE", 2)
    for entry in root.entries(recursive=True):
        assert entry.stat == entry.place.stat()
        assert (entry.stat.size, entry.stat.key) == (entry.place.size(), entry.place.stat_key())
    below = root.entries(recursive=True)
    assert root.files() == [(e.place.uri[len(root.uri) + 1 :], e.stat) for e in below]
    assert [path for path, _ in (root / "b").files()] == ["c.json", "d.txt"]
    assert [(e.place.name, e.stat.is_dir) for e in root.entries()] == [
        ("a.json", False),
        ("b", True),
        ("e", True),
    ]
    assert [e.place.name for e in root.glob_entries("**/*.json")] == ["a.json", "c.json", "f.json"]


def test_files_are_copied_between_all_storages(root: Location, s3_bucket: str, tmp_path: Path):
    (root / "x").write_bytes(b"content")
    targets = [
        root / "deep/y",
        Location.parse(tmp_path / "elsewhere/y"),
        Location.parse(f"{s3_bucket}/other/y", tmp_path / "cache"),
    ]
    for target in targets:
        target.write_bytes(b"old")
        (root / "x").copy_to(target)
        assert target.read_bytes() == b"content"
        target.write_bytes(b"changed")
        assert (root / "x").read_bytes() == b"content", "writing to the copy must not change the original"
    with pytest.raises(FileNotFoundError):
        (root / "none").copy_to(root / "z")
    assert not (root / "z").exists()
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_copy_on_the_same_disk_is_a_hard_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = Location.parse(tmp_path)
    (root / "x").write_bytes(b"content")
    (root / "x").copy_to(root / "y")
    assert os.stat(tmp_path / "x").st_ino == os.stat(tmp_path / "y").st_ino

    def refuses(*_: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuses)
    (root / "x").copy_to(root / "z")
    assert (root / "z").read_bytes() == b"content"
    assert os.stat(tmp_path / "x").st_ino != os.stat(tmp_path / "z").st_ino


def test_links_are_followed_but_not_in_cycles(tmp_path: Path):
    """Two links to the folder that contains them would lead to 2**40 folders."""
    root = Location.parse(tmp_path / "root")
    (root / "a/x").write_text("")
    (tmp_path / "away").mkdir()
    (tmp_path / "away/y").write_text("")
    for name, target in {"a/up": "..", "a/again": "../a", "away": "../away", "lost": "nothing"}.items():
        (tmp_path / "root" / name).symlink_to(target)
    (tmp_path / "away/back").symlink_to("../root/a")
    (tmp_path / "root" / "self").symlink_to("self")
    found = [f.uri.removeprefix(f"{root.uri}/") for f in root.list(recursive=True)]
    assert found == ["a/x", "away/back/x", "away/y", "lost", "self"]
    assert [f.name for f in root.glob("**/x")] == ["x", "x"]
