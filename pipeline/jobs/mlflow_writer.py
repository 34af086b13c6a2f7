"""Writes entries of a spool to MLflow. Every entry may be written twice: the second time changes nothing."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.jobs.mlflow_store import FINGERPRINT_TAG, Destination, client_of, experiment_of, find_run
from pipeline.jobs.spool import Entry
from pipeline.storage.credentials import without_credentials
from pipeline.storage.location import Location

KEY_TAG = "ufvideo.run"  # the key under which entries name a run
PARENT_TAG = "ufvideo.plan_run"
DIGEST_TAG = "ufvideo.digest"
_BATCH = 1000  # MLflow's limit of metrics in one request
_PARAM_BATCH = 100  # of parameters or tags
_DIGEST = 36  # characters of a dataset's digest that MLflow keeps
_TOGETHER = ("dataset", "tags", "metrics")  # written in this order, each in one request: each is a commit
_FOR_EVER = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "MALFORMED_REQUEST")


class Refused(NamedTuple):
    """An entry that MLflow will never take, and why."""

    entry: Entry
    why: str


class MlflowWriter:
    """The connection to one experiment. After an error it is not used again: another one starts afresh."""

    def __init__(self, destination: Destination) -> None:
        self._client = client_of(destination.uri)
        self._cache = destination.spool.cache
        self._experiment = experiment_of(self._client, destination)
        self._runs: dict[str, str] = {}  # MLflow's ids by key
        self._models: dict[str, str] = {}  # MLflow's ids by digest
        self._new: set[str] = set()  # runs that were created here, so that nothing else is in them
        self._steps: dict[tuple[str, str], set[int]] = {}  # of a run and metric: those that MLflow has
        self._waiting: dict[str, list[Entry]] = defaultdict(list)  # entries that are put together, by key

    def write(self, entries: Sequence[Entry]) -> list[Refused]:
        """Write entries in order; some of a run are put together. Returns those that MLflow refuses.

        Raises whatever MLflow's client raises when the server or database does not answer.
        """
        refused: list[Refused] = []
        for entry in entries:
            if entry["do"] in _TOGETHER:
                self._waiting[entry["run"]].append(entry)
                continue
            if entry["do"] == "end":
                refused += self._flush(entry["run"])
            refused += self._try(entry)
        for key in list(self._waiting):
            refused += self._flush(key)
        return refused

    def _try(self, entry: Entry) -> list[Refused]:
        from mlflow.exceptions import MlflowException

        try:
            act = getattr(self, f"_do_{entry['do']}")
            act(entry)
        except MlflowException as error:
            if error.error_code not in _FOR_EVER:
                raise
            return [Refused(entry, without_credentials(str(error))[:300])]
        except (KeyError, AttributeError) as error:  # of another version of this code
            return [Refused(entry, f"is not understood ({type(error).__name__}: {error})")]
        except FileNotFoundError as error:
            return [Refused(entry, f"its file is gone: {error}")]
        return []

    # Runs

    def _do_open_plan(self, entry: Entry) -> None:
        run = self._found(entry["run"])
        if run is None:
            self._create(entry["run"], entry, {})
        else:
            self._client.update_run(run, status="RUNNING")
            self._tag(run, entry["tags"])

    def _do_open(self, entry: Entry) -> None:
        if self._found(entry["run"]) is not None:
            return
        tags = {name: value for name, value in entry["identity"].items() if value}
        if entry["parent"] is not None:
            key, name = entry["parent"]
            parent = self._found(key) or self._create(key, {**entry, "name": name, "tags": {}}, {})
            tags |= {PARENT_TAG: key, "mlflow.parentRunId": parent}
        same = {FINGERPRINT_TAG, "ufvideo.inputs", PARENT_TAG} & set(tags)
        old = find_run(self._client, self._experiment, **{_word(name): tags[name] for name in same})
        if old is None or old.info.status == "FINISHED":
            self._create(entry["run"], entry, tags)
            return
        self._runs[entry["run"]] = run = str(old.info.run_id)
        self._client.update_run(run, status="RUNNING")
        self._tag(run, {KEY_TAG: entry["run"], "ufvideo.resumed": "true"})

    def _create(self, key: str, entry: Entry, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(
            self._experiment,
            start_time=entry["start_ms"],
            tags={KEY_TAG: key, **entry["tags"], **tags},
            run_name=entry["name"],
        )
        self._runs[key] = str(run.info.run_id)
        self._new.add(self._runs[key])
        return self._runs[key]

    def _found(self, key: str) -> str | None:
        if key not in self._runs:
            run = find_run(self._client, self._experiment, **{_word(KEY_TAG): key})
            if run is None:
                return None
            self._runs[key] = str(run.info.run_id)
        return self._runs[key]

    def _run(self, entry: Entry) -> str:
        run = self._found(entry["run"])
        if run is None:
            raise KeyError(f"no run {entry['run']}")
        return run

    def _do_end(self, entry: Entry) -> None:
        self._client.set_terminated(self._run(entry), status=entry["status"], end_time=entry["end_ms"])

    def _do_end_steps(self, entry: Entry) -> None:
        """End the runs of steps that were killed with their command before they could say so."""
        for fingerprint in entry["fingerprints"]:
            tags = {_word(PARENT_TAG): entry["run"], _word(FINGERPRINT_TAG): fingerprint}
            run = find_run(self._client, self._experiment, **tags)
            if run is not None and run.info.status == "RUNNING":
                self._client.set_terminated(run.info.run_id, status=entry["status"], end_time=entry["end_ms"])

    # What a run holds

    def _do_params(self, entry: Entry) -> None:
        from mlflow.entities import Param

        run, values = self._run(entry), entry["params"]
        had = self._client.get_run(run).data.params
        new = [Param(k, v) for k, v in values.items() if k not in had]
        for i in range(0, len(new), _PARAM_BATCH):
            self._client.log_batch(run, params=new[i : i + _PARAM_BATCH])
        self._tag(run, {f"resumed.{k}": v[:5000] for k, v in values.items() if k in had and had[k] != v})

    def _do_tags(self, *entries: Entry) -> None:
        tags = {name: value for entry in entries for name, value in entry["tags"].items()}
        self._tag(self._run(entries[0]), tags)

    def _tag(self, run: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        made = [RunTag(name, value) for name, value in tags.items()]
        for i in range(0, len(made), _PARAM_BATCH):
            self._client.log_batch(run, tags=made[i : i + _PARAM_BATCH])

    def _do_dataset(self, *entries: Entry) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        run, inputs = self._run(entries[0]), []
        for entry in entries:
            data = Dataset(
                name=entry["name"],
                digest=entry["digest"][:_DIGEST],
                source_type="ufvideo",
                source=json.dumps({"uri": entry["uri"]}),
                profile=json.dumps(entry["profile"]) if entry["profile"] else None,
            )
            tag = InputTag(key="mlflow.data.context", value=entry["context"])
            inputs.append(DatasetInput(dataset=data, tags=[tag]))
        self._client.log_inputs(run, datasets=inputs)
        self._tag(run, {f"dataset.{entry['name']}": entry["digest"] for entry in entries})

    def _do_text(self, entry: Entry) -> None:
        self._client.log_text(self._run(entry), entry["text"], entry["name"])

    def _do_file(self, entry: Entry) -> None:
        run, place = self._run(entry), Location(entry["uri"], self._cache)
        if place.is_local and not place.exists():
            raise FileNotFoundError(place.uri)
        # Under its own name: the copy of a remote file need not have it.
        with tempfile.TemporaryDirectory(prefix="ufvideo-mlflow-") as folder:
            copy = Path(folder, place.name)
            copy.symlink_to(place.fetch())
            self._client.log_artifact(run, str(copy), entry["folder"] or None)

    def _do_model(self, entry: Entry) -> None:
        from mlflow.entities import LoggedModelInput, LoggedModelOutput

        run, digest = self._run(entry), entry["digest"]
        model = self._model(digest)
        if model is None:
            made = self._client.create_logged_model(
                self._experiment,
                name=entry["name"],
                source_run_id=run if entry["output"] else None,
                tags={DIGEST_TAG: digest, "ufvideo.checkpoint": entry["uri"], **entry["tags"]},
                model_type="UFVideo",
            )
            self._models[digest] = model = str(made.model_id)
            self._client.finalize_logged_model(model, "READY")
        had = self._client.get_run(run)  # MLflow refuses a second link
        if entry["output"] and model not in {m.model_id for m in had.outputs.model_outputs}:
            self._client.log_outputs(run, [LoggedModelOutput(model, step=0)])
        elif not entry["output"] and model not in {m.model_id for m in had.inputs.model_inputs}:
            self._client.log_inputs(run, models=[LoggedModelInput(model)])

    def _model(self, digest: str) -> str | None:
        if digest not in self._models:
            found = self._client.search_logged_models(
                [self._experiment], filter_string=f"tags.`{DIGEST_TAG}` = '{digest}'", max_results=1
            )
            if not found:
                return None
            self._models[digest] = str(found[0].model_id)
        return self._models[digest]

    # What is put together

    def _flush(self, key: str) -> list[Refused]:
        waiting = self._waiting.pop(key, [])
        of = {what: [entry for entry in waiting if entry["do"] == what] for what in _TOGETHER}
        return [
            *self._at_once(self._do_dataset, of["dataset"]),
            *self._at_once(self._do_tags, of["tags"]),
            *self._write_metrics(key, of["metrics"]),
        ]

    def _at_once(self, act: Callable[..., None], entries: Sequence[Entry]) -> list[Refused]:
        """Entries of one run in one request; one by one where MLflow refuses that."""
        if len(entries) > 1:
            from mlflow.exceptions import MlflowException

            try:
                act(*entries)
            except MlflowException as error:
                if error.error_code not in _FOR_EVER:
                    raise
            except (KeyError, AttributeError):
                pass  # of another version of this code
            else:
                return []
        return [one for entry in entries for one in self._try(entry)]

    def _write_metrics(self, key: str, entries: Sequence[Entry]) -> list[Refused]:
        from mlflow.exceptions import MlflowException

        refused: list[Refused] = []
        if not entries:
            return []
        run = self._found(key)
        if run is None:
            return [Refused(entry, f"no run {key}") for entry in entries]
        new: list[tuple[Entry, Any]] = []
        for entry in entries:
            for metric in self._metrics(run, entry):
                if entry["once"]:
                    known = self._known(run, metric.key)
                    if metric.step in known:
                        continue
                    known.add(metric.step)
                new.append((entry, metric))
        for i in range(0, len(new), _BATCH):
            batch = [metric for _, metric in new[i : i + _BATCH]]
            try:
                self._client.log_batch(run, metrics=batch)
            except MlflowException as error:
                if error.error_code not in _FOR_EVER:
                    raise
                refused += self._one_by_one(run, new[i : i + _BATCH])
        return refused

    def _one_by_one(self, run: str, new: Sequence[tuple[Entry, Any]]) -> list[Refused]:
        from mlflow.exceptions import MlflowException

        refused = []
        for entry, metric in new:
            try:
                self._client.log_batch(run, metrics=[metric])
            except MlflowException as error:
                if error.error_code not in _FOR_EVER:
                    raise
                point = [metric.key, metric.value, metric.timestamp, metric.step]
                refused.append(Refused({**entry, "points": [point]}, str(error)[:300]))
        return refused

    def _metrics(self, run: str, entry: Entry) -> list[Any]:
        from mlflow.entities import Metric

        model = self._model(entry["model"]) if entry["model"] else None
        name, digest = entry["data"] or (None, None)
        digest = digest and digest[:_DIGEST]
        return [
            Metric(key, value, stamp, step, model, name, digest, run)
            for key, value, stamp, step in entry["points"]
        ]

    def _known(self, run: str, name: str) -> set[int]:
        """The steps of a metric that MLflow has: a stage that goes on repeats some."""
        if (run, name) not in self._steps:
            history = [] if run in self._new else self._client.get_metric_history(run, name)
            self._steps[run, name] = {point.step for point in history}
        return self._steps[run, name]


def _word(tag: str) -> str:
    return tag.replace(".", "__")
