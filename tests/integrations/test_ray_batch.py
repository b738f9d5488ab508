"""Items done by workers of a Ray cluster, and data sets of Ray."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import trimix

ITEMS = """
import os, signal
from trimix.errors import ModelError, WorkerDiedError
from trimix.integrations.ray_batch import actors
from concurrent.futures import ThreadPoolExecutor

def start():
    def work(item):
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if item == 5:
            raise ModelError("five")
        return item, os.environ["OMP_NUM_THREADS"]
    return work

def told(item):
    try:
        return work(item)
    except (ModelError, WorkerDiedError) as error:
        return type(error).__name__

with actors(start, workers=2) as (work, count), ThreadPoolExecutor(count) as pool:
    assert count == 2
    print(*pool.map(told, range(7)))
"""
DATA_SET = """
import io
import numpy as np, pyarrow, ray
from PIL import Image
import trimix
from trimix.integrations.ray_batch import compress_column

buffer = io.BytesIO()
Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(buffer, "png")
ray.init(num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False)
table = pyarrow.table({"image": [buffer.getvalue(), b"bad", None], "name": ["a", "b", "c"]})
rows = compress_column(ray.data.from_arrow(table), "image", model="gllmm-tiny-0", lossless=False).take_all()
assert [row["name"] for row in rows] == ["a", "b", "c"]
assert trimix.decompress(rows[0]["image"]).size == (30, 20)
assert rows[1]["image"] is None and "a picture must be one of" in rows[1]["trimix_error"]
assert rows[2]["image"] is None and rows[2]["trimix_error"] is None
print("done")
"""


def run(script: str) -> str:
    """In a process of its own: what is sent to workers must be as it is outside of tests."""
    environment = os.environ | {"PYTHONPATH": str(Path(trimix.__file__).parent.parent), "RAY_worker_niceness": "0"}
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_item_that_ends_its_workers_is_told_and_the_others_are_done() -> None:
    expected = " ".join(str((item, "1")) for item in (0, 1, 2))
    assert run(ITEMS) == f"{expected} WorkerDiedError (4, '1') ModelError (6, '1')"


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("model")
def test_a_data_set_of_ray_keeps_its_rows() -> None:
    assert run(DATA_SET) == "done"
