"""Where scalars can go: one class a tracker, each importing its package when it is opened."""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from contextvars import Context
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

from nucleate._core.arguments import as_path
from nucleate._core.errors import BadInput
from nucleate.runs import read_manifest

# The most metrics that MLflow takes in one request.
_BATCH = 1000
_WANDB_BLOCK = 32768


class Exporter(Protocol):
    """Takes scalars in order of steps; `close` makes them safe.

    Attributes:
        where: the folder or address that holds them.
        look: a command that shows them.
    """

    where: str
    look: str

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the finite values of one step, once a step."""

    def close(self) -> None:
        """Write what is left, and let go."""


@dataclass(frozen=True)
class Target:
    """What a run is called in a tracker.

    Attributes:
        identity: 16 hexadecimal digits; an export with the same identity is replaced.
        name: the run's name, as it is shown.
        project: MLflow's experiment, W&B's and trackio's project, a folder for TensorBoard.
        out: the folder to write into; None is the tracker's default here.
        default: that default, for the trackers that need a folder.
        uri: MLflow's store.
    """

    identity: str
    name: str
    project: str
    default: Path
    out: Path | None = None
    uri: str | None = None

    @property
    def title(self) -> str:
        """A name that no other run has."""
        return f"{self.name}-{self.identity[:8]}"

    def folder(self) -> Path:
        """The folder to write into, made if it is not there.

        Raises:
            BadInput: it cannot be made.
        """
        folder = (self.out or self.default).resolve()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"the folder {folder} cannot be made ({error.strerror}): name another with --out"
            ) from error
        return folder


class _TensorBoard:
    """Event files in a folder of the run's own; those of an earlier export are removed."""

    _SUFFIX = ".nucleate"

    def __init__(self, target: Target) -> None:
        tensorboard = _needs("torch.utils.tensorboard", "tensorboard")
        top = target.folder()
        folder = top / _plain_project(target.project) / target.title
        for old in folder.glob(f"events.out.tfevents.*{self._SUFFIX}"):
            old.unlink()
        self._writer = tensorboard.SummaryWriter(str(folder), filename_suffix=self._SUFFIX)
        self.where, self.look = str(folder), f"tensorboard --logdir {top}"

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    """A run in an MLflow store; one that was exported earlier is deleted, as MLflow deletes.

    MLflow chooses the ids of its runs itself, so a tag holds ours.
    """

    _TAG = "nucleate.run"

    def __init__(self, target: Target) -> None:
        uri, options = target.uri, {}
        if uri is None:
            folder = target.folder()
            uri = f"sqlite:///{folder / 'mlflow.db'}"
            options["artifact_location"] = (folder / "artifacts").as_uri()
        if uri.startswith("file:") or "://" not in uri:
            raise BadInput(
                f"the MLflow store {uri!r} is a folder, which cannot hold a number and its nulls "
                "under one name: give sqlite:///FILE or the address of a server"
            )
        if "mlflow" not in sys.modules:  # usage reports would go out with every call
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._mlflow = _needs("mlflow", "mlflow")
        if uri.startswith("sqlite:"):
            _needs("sqlalchemy", "mlflow")
        self.where, self.look = uri, f"mlflow ui --backend-store-uri {uri}"
        with self._reported():
            self._client = self._mlflow.MlflowClient(tracking_uri=uri)
            known = self._client.get_experiment_by_name(target.project)
            experiment = (
                known.experiment_id
                if known
                else self._client.create_experiment(target.project, **options)
            )
            tagged = f"tags.`{self._TAG}` = '{target.identity}'"
            for old in self._client.search_runs([experiment], tagged):
                self._client.delete_run(old.info.run_id)
            run = self._client.create_run(
                experiment, run_name=target.name, tags={self._TAG: target.identity}
            )
        self._run, self._now = run.info.run_id, int(time.time() * 1000)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        metric = self._mlflow.entities.Metric
        metrics = [metric(name, value, self._now, step) for name, value in values.items()]
        with self._reported():
            for first in range(0, len(metrics), _BATCH):
                self._client.log_batch(self._run, metrics=metrics[first : first + _BATCH])

    def close(self) -> None:
        with self._reported():
            self._client.set_terminated(self._run)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except self._mlflow.exceptions.MlflowException as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise BadInput(
                f"the MLflow store {self.where!r} cannot be written ({reason}): check --uri and "
                "--project"
            ) from error


class _WandB:
    """An offline run, for `wandb sync` to upload later; an earlier one's folder is removed."""

    def __init__(self, target: Target) -> None:
        project = _plain_project(target.project)
        wandb = _needs("wandb", "wandb")
        folder = target.folder()
        for old in (folder / "wandb").glob(f"offline-run-*-{target.identity}"):
            shutil.rmtree(old)
        # The user may have a run open in this process; it stays the current one.
        quiet = wandb.Settings(
            silent=True, console="off", disable_git=True, x_disable_stats=True,
            x_disable_machine_info=True,
        )  # fmt: skip
        self._run = wandb.init(
            mode="offline", dir=str(folder), project=project, id=target.identity,
            name=target.name, reinit="create_new", save_code=False, settings=quiet,
        )  # fmt: skip
        self.where = str(Path(self._run.settings.sync_dir))
        self.look = f"wandb sync {self.where}"

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()
        _wait_for_end(Path(self._run.settings.sync_file))


class _Trackio:
    """A run in trackio's own local database; one that was exported earlier is deleted.

    trackio fixes its folder when it is imported, and `trackio show` looks nowhere else: so its
    folder is the default.
    """

    def __init__(self, target: Target) -> None:
        project = _plain_project(target.project)
        for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
            if os.environ.get(name):
                raise BadInput(
                    f"{name} is {os.environ[name]!r}, which would send the export away: unset it"
                )
        if target.out is not None and "trackio" not in sys.modules:
            os.environ["TRACKIO_DIR"] = str(target.folder())
        trackio = _needs("trackio", "trackio")
        home = Path(trackio.utils.TRACKIO_DIR).resolve()
        if target.out is not None and target.folder() != home:
            raise BadInput(
                f"trackio writes to {home} in this process and not to {target.out}: set "
                "TRACKIO_DIR before trackio is imported"
            )
        if project in {str(p) for p in trackio.sqlite_storage.SQLiteStorage.get_projects()}:
            for old in list(trackio.Api().runs(project)):
                if old.name == target.title:
                    old.delete()
        # A context of its own: trackio would end a run that the user has open in this one.
        with redirect_stdout(StringIO()):
            self._run = Context().run(
                trackio.init, project=project, name=target.title, embed=False,
                auto_log_gpu=False, auto_log_cpu=False,
            )  # fmt: skip
        self.where = str(home)
        self.look = f"TRACKIO_DIR={home} trackio show --project {project}"

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        with redirect_stdout(StringIO()):
            self._run.finish()


TRACKERS: dict[str, Callable[[Target], Exporter]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _WandB,
    "trackio": _Trackio,
}


def check_panel(run: Path) -> None:
    """Refuse a run without a panel.

    Raises:
        BadInput: it has none.
    """
    if not (run / "panel.csv").exists():
        raise BadInput(
            f"{run} has no panel.csv: measure the run and save the panel into its folder first"
        )


def check_export(
    run: Path | str, to: str, *, out: Path | str | None = None, uri: str | None = None
) -> None:
    """Refuse at once what `export_run` could not do.

    Args:
        run: a run folder.
        to: the tracker.
        out: as for `export_run`.
        uri: as for `export_run`.

    Raises:
        BadInput: the folder is no run, or has no panel; the tracker is unknown; there is a URI
            where a folder is wanted.
    """
    run = as_path("run", run)
    read_manifest(run)
    check_panel(run)
    if to not in TRACKERS:
        raise BadInput(f"the tracker {to!r} is unknown: take one of {', '.join(TRACKERS)}")
    if uri is not None and (to != "mlflow" or out is not None):
        raise BadInput(
            f"the URI {uri!r} is for MLflow alone, and instead of a folder: leave it out"
        )


def _needs(module: str, extra: str) -> Any:
    """Import a module that an extra brings."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise BadInput(
            f"exporting to {extra} needs the package {error.name!r}, which is not installed: "
            f"pip install 'nucleate[{extra}]'"
        ) from error


def _wait_for_end(log: Path) -> None:
    """Wait until W&B's service has written the end of a log, which it does after `finish`.

    It writes whole blocks until then, so a size that is no multiple of a block's and stays for a
    while is the final one. One log in 32,768 ends with a block: that takes the whole limit.
    """
    limit, still, size = time.monotonic() + 5.0, 0, -1
    while time.monotonic() < limit and still < 5:
        time.sleep(0.02)
        before, size = size, log.stat().st_size
        still = still + 1 if size == before and size % _WANDB_BLOCK else 0


def _plain_project(project: str) -> str:
    if not re.fullmatch(r"[\w-][\w.-]*", project):
        raise BadInput(
            f"the project name {project!r} cannot be used here: take letters, digits, '.', '_' "
            "and '-'"
        )
    return project
