"""The resources that a step needs, compared with a real cluster of two CPUs."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from pipeline.errors import UserError
from pipeline.jobs import capacity
from pipeline.jobs.capacity import Need

NEED = Need(where="stage stage1: layout", count=2, cpus=1, gpus=0, fix="Change layout.workers.")


def test_processes_must_fit_on_single_nodes() -> None:
    nodes = [{"CPU": 3.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 4.0}, {}]
    assert NEED.fits(nodes) == 4
    assert replace(NEED, cpus=2).fits(nodes) == 1, "a process must not spread over two nodes"
    assert replace(NEED, gpus=1).fits(nodes) == 2
    assert replace(NEED, gpus=2, cpus=0.5).fits(nodes) == 2


def test_resources_that_the_cluster_lacks_are_refused_at_once(ray_cluster: None) -> None:
    capacity.refuse_cluster(NEED)
    begun = time.monotonic()
    with pytest.raises(UserError) as error:
        capacity.refuse_cluster(replace(NEED, gpus=1))
    assert time.monotonic() - begun < 60
    assert str(error.value) == (
        "stage stage1: layout: asks for 2 processes with 1 CPUs and 1 GPU each; "
        "the cluster has 2 CPUs and 0 GPUs. Change layout.workers."
    )
    with pytest.raises(UserError, match=re.escape("asks for 3 processes with 1 CPUs each")):
        capacity.refuse_cluster(replace(NEED, count=3))


def test_resources_that_others_use_are_waited_for(ray_cluster: None) -> None:
    from ray.util import placement_group, remove_placement_group

    used = placement_group([{"CPU": 2}])
    assert used.wait(60)
    waiting = placement_group([{"CPU": 1}] * 2)
    try:
        assert not waiting.wait(1)
        assert capacity.waits(NEED)
        line = capacity.waiting_line(NEED)
        assert line.startswith("stage stage1: layout: waits for 2 x 1 CPUs; others use them: 0 of 2 CPUs"), (
            line
        )
    finally:
        remove_placement_group(used)
    assert waiting.wait(60)
    assert not capacity.waits(NEED)
    remove_placement_group(waiting)
