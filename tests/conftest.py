"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process under `--dist loadgroup`, and all that need the cluster."""
    for item in items:
        needs_ray = "ray_cluster" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("ray" if needs_ray else item.path.stem))


def pytest_collection_finish() -> None:
    """Exclude the half million objects of imported modules from every garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _no_sender() -> None:
    """Steps in this process leave what MLflow is to be told on the disk: a sender takes seconds to start."""
    from pipeline.jobs.owner import start_time
    from pipeline.jobs.sending import SENDER

    os.environ[SENDER] = f"{os.getppid()}:{start_time(os.getppid())}"


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One Ray of two CPUs with a job server for all tests: starting it takes longer than most of them."""
    from pipeline.jobs import cluster
    from pipeline.plan.runtime import RayConfig

    with cluster.connect(RayConfig(num_cpus=2, object_store_mb=200), jobs=True):
        yield


def shared_dir() -> Path:
    """Folder of golden numbers and real annotation samples, if this checkout has one."""
    return Path(os.environ.get("UFVIDEO_SHARED", REPO.parent / "shared"))


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of golden cases; the test is skipped where it is missing."""
    path = shared_dir() / "golden"
    if not path.is_dir():
        pytest.skip(f"no golden cases at {path}; set UFVIDEO_SHARED to the folder that holds golden/")
    return path


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder of real annotation samples; the test is skipped where it is missing."""
    path = shared_dir() / "realdata"
    if not path.is_dir():
        pytest.skip(f"no real data at {path}; set UFVIDEO_SHARED to the folder that holds realdata/")
    return path


@pytest.fixture(scope="session")
def cases() -> Path:
    """Folder of small inputs that once failed; the test is skipped where it is missing."""
    path = shared_dir() / "cases"
    if not path.is_dir():
        pytest.skip(f"no cases at {path}; set UFVIDEO_SHARED to the folder that holds cases/")
    return path


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Endpoint of a real S3 server on loopback, with the AWS_* environment set to it."""
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    values = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    old = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    yield values["AWS_ENDPOINT_URL"]
    server.stop()
    for name, value in old.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture
def s3_bucket(s3_server: str) -> str:
    """URI of a fresh bucket on that server."""
    import boto3

    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket=name)
    return f"s3://{name}"


# A small plan for the tests of the spine, whose steps are trivial there.
PLAN = """\
name: tiny
storage:
  root: {root}
ray: {{num_cpus: 2, num_gpus: 2, object_store_mb: 200}}
demo:
  train_videos: 4
data:
  sources:
    - name: talk
      format: llava_video
      annotations: ${{corpora}}/talk.json
      media: ["${{corpora}}/videos"]
    - name: choice
      format: mvbench
      use: benchmark
      annotations: ${{corpora}}/mvbench
      media: ["${{corpora}}/videos"]
model: {{preset: toy}}
stages:
  - name: stage1
    global_batch: 8
    steps: 4
    layout: {{workers: 2, micro_batch: 2, cpus_per_worker: 1}}
  - name: stage2
    start_from: stage1
    global_batch: 8
    steps: 4
    layout: {{workers: 2, micro_batch: 2, cpus_per_worker: 1}}
evaluation:
  cpus_per_actor: 1
  checkpoints: [init, stage2]
  benchmarks:
    - {{source: choice, family: mvbench}}
"""


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    """A plan with demo, two stages and evaluation, stored below the test's folder."""
    path = tmp_path / "tiny.yaml"
    path.write_text(PLAN.format(root=tmp_path / "store"))
    return path
