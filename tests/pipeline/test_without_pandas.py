"""PyArrow and MLflow work in a process that keeps pandas out."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from pipeline.without_pandas import let_arrow_do_without, without_pandas
with without_pandas():
    from mlflow.tracking import MlflowClient
let_arrow_do_without()
import pyarrow as pa
table = pa.Table.from_pylist([{"text": "a", "numbers": [1, 2]}])
assert table.column("text").chunk(0).to_numpy(zero_copy_only=False).tolist() == ["a"]
assert table.column("numbers").to_pylist() == [[1, 2]]
assert "pandas" not in sys.modules
assert table.to_pandas().shape == (1, 2), "who wants pandas gets it"
"""


def test_nothing_imports_pandas_until_it_is_wanted() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True, timeout=120)
