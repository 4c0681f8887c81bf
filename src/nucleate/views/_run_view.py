"""What app and report show of a run, as named parts that are read one by one."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, unquote

import pandas as pd

from nucleate._core.arguments import as_path, check_whole
from nucleate._core.errors import BadInput
from nucleate.findings import Findings, Summary, findings
from nucleate.runs import Run
from nucleate.views._cloud import BASES, BasisName, offered
from nucleate.views._of_run import report_of
from nucleate.views._place_cloud import place_cloud
from nucleate.views._run_report import RunReport
from nucleate.views._stored_cloud import CLOUDS_OF_RUN, CloudFolder, StoredCloud
from nucleate.views._view_parts import answers_of, rows_of, tables_of, view_of
from nucleate.views._view_values import plain_json, table_json

_CLOUDS = 24
"""Clouds that are held at once; older ones are made again when asked for."""
MOST_ROWS = 5000
"""Points of a cloud, by default."""


class RunView:
    """The parts of one run that are shown, under the names by which app and report ask for them.

    `view.json` holds everything small: summary, curves, maps, interventions. `rows.json` is the
    prompts; `answers/<step>.json` what was answered; `cloud/<stream>/<position>/<basis>.json` and
    `frames/<stream>/<position>/<basis>/<step>.i16` the states as points; `tables/<name>.json` and
    `.csv` all numbers. Names within a path are percent-encoded. docs/looking.md describes them.

    Nothing is written into the run, and nothing is measured: a run without a panel says so. A view
    shows the run as it was when it was opened: open another to see what was written since.

    Args:
        run: a run, or its folder; whatever recorded it, also while it is being written.
        cache: a folder where clouds are kept between two views, of any number of runs. It must not
            lie within the run, other than as its folder `view`, which is read in any case. Without
            it they are made for every view.
        most_rows: points of a cloud that are shown; of more rows, as many are drawn. What is said
            of a cloud is of all rows.
        found: what is known of the run, where it was measured elsewhere; by default what stands in
            its folder.

    Attributes:
        run: the run.
        most_rows: as given.

    Raises:
        BadInput: the folder is no run, or the cache lies within it.
    """

    def __init__(
        self,
        run: Run | Path | str,
        *,
        cache: Path | str | None = None,
        most_rows: int = MOST_ROWS,
        found: Findings | None = None,
    ) -> None:
        self.run = run if isinstance(run, Run) else Run(run)
        check_whole("most_rows", most_rows, least=1)
        self.most_rows = most_rows
        self._found = found
        own = self.run.path / CLOUDS_OF_RUN
        self._folders = [CloudFolder(own, self.run)] if own.is_dir() else []
        self._kept = None if cache is None else CloudFolder(as_path("cache", cache), self.run)
        self._clouds: OrderedDict[tuple[str, str, str], StoredCloud] = OrderedDict()

    def get(self, path: str) -> bytes:
        """One part.

        Args:
            path: such as `view.json`; see the class.

        Raises:
            BadInput: there is no such part, or what it is made from cannot be read.
        """
        if not (self.run.path / "manifest.json").exists():
            raise BadInput(f"the run {self.run.path} is gone; name a folder that is there")
        parts = [unquote(part) for part in path.split("/")]
        match parts:
            case ["view.json"]:
                return plain_json(view_of(self.run, self._report) | {"bases": offered()})
            case ["rows.json"]:
                return plain_json(rows_of(self.run))
            case ["answers", name] if name.endswith(".json"):
                return plain_json(answers_of(self.run, self._step(name, path)))
            case ["cloud", stream, position, name] if name.endswith(".json"):
                return self._cloud(stream, position, name[:-5]).about
            case ["frames", stream, position, basis, name] if name.endswith(".i16"):
                cloud = self._cloud(stream, position, basis)
                return cloud.erased() if name == "erased.i16" else cloud.frame(
                    self._step(name, path)
                )  # fmt: skip
            case ["tables", name]:
                return self._table(name, path)
        raise _unknown(path)

    def paths(self, *, clouds: bool = True) -> Iterator[str]:
        """Every part that there is, the clouds' frames last.

        Args:
            clouds: whether those of clouds are named; they are made for it.
        """
        yield "view.json"
        yield "rows.json"
        yield from (f"answers/{step}.json" for step in self.run.steps if self._is_whole(step))
        yield from (f"tables/{name}.json" for name in self._tables)
        streams, positions = self.places if clouds else ((), ())
        for stream in streams:
            for position in positions:
                for basis in self.bases:
                    yield from self.paths_of(stream, position, basis)

    def paths_of(self, stream: str, position: str, basis: str) -> Iterator[str]:
        """The parts of one cloud, what is said of it first; none where no step has finite states.

        Args:
            stream: of the place.
            position: of the place.
            basis: of `bases`.
        """
        try:
            cloud = self._cloud(stream, position, basis)
        except BadInput:
            return
        place = f"{_part(stream)}/{_part(position)}/{basis}"
        yield f"cloud/{place}.json"
        yield from (f"frames/{place}/{step}.i16" for step in cloud.frames)
        if cloud.without_task:
            yield f"frames/{place}/erased.i16"

    @property
    def bases(self) -> tuple[str, ...]:
        """The sets of axes in which a place can be shown, the first of them by default.

        Where umap-learn is installed there is `umap` besides, which is made only when it is asked
        for: it takes half a second a step.
        """
        return BASES

    @property
    def summary(self) -> Summary:
        """What was found, as far as it is known."""
        return self._report.summary

    @property
    def told(self) -> set[tuple[str, str]]:
        """The places (stream, position) that the summary speaks of; else the topmost of each."""
        found = {(known.stream, at) for at, known in self.summary.clusters.items()}
        streams, positions = self.places
        return found or {(streams[-1], position) for position in positions}

    @property
    def places(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Streams and positions of the last step that can be read; none where there is none."""
        for step in reversed(self.run.steps):
            try:
                streams, positions, _ = self.run.shape(step)
            except BadInput:
                continue
            return streams, positions
        return (), ()

    @cached_property
    def _report(self) -> RunReport:
        return report_of(self.run, self._found or _findings(self.run), pictures=False)

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return tables_of(self.run, self._report)

    def _cloud(self, stream: str, position: str, basis: str) -> StoredCloud:
        streams, positions = self.places
        if basis not in (*BASES, "umap") or stream not in streams or position not in positions:
            raise BadInput(
                f"there is no cloud {basis!r} of {stream!r} at {position!r}; streams are "
                f"{list(streams)}, positions {list(positions)}, bases {list(BASES)}"
            )
        key = (stream, position, basis)
        if key not in self._clouds:
            self._clouds[key] = self._made(*key)
        self._clouds.move_to_end(key)
        while len(self._clouds) > _CLOUDS:
            self._clouds.popitem(last=False)
        return self._clouds[key]

    def _made(self, stream: str, position: str, basis: str) -> StoredCloud:
        """A cloud from the cache, else from the states."""
        name: BasisName = next((each for each in BASES if each == basis), "umap")
        place = (stream, position, name, self.most_rows)
        kept = [*self._folders, *([self._kept] if self._kept else [])]
        found = next((cloud for folder in kept if (cloud := folder.read(*place))), None)
        if found is None:
            found = place_cloud(self.run, self._report, *place).stored()
            if self._kept:
                self._kept.keep(found, *place)
        return found

    def _is_whole(self, step: int) -> bool:
        with suppress(BadInput):
            return bool(self.run.shape(step))
        return False

    def _step(self, name: str, path: str) -> int:
        text = name.rsplit(".", 1)[0]
        if not (text.isascii() and text.isdigit()) or int(text) not in self.run.steps:
            raise _unknown(path)
        return int(text)

    def _table(self, name: str, path: str) -> bytes:
        stem, _, ending = name.rpartition(".")
        tables = self._tables
        if stem not in tables or ending not in ("json", "csv"):
            raise _unknown(path)
        if ending == "csv":
            return bytes(tables[stem].to_csv(index=False, float_format="%.6g").encode())
        return plain_json(table_json(tables[stem]))


def _unknown(path: str) -> BadInput:
    return BadInput(f"there is no part {path!r} of this run; `view.json` is where to begin")


def _part(name: str) -> str:
    """A name within a path; dots alone would lead out of the folder in a browser."""
    written = quote(name, safe="")
    return written if written.strip(".") else written.replace(".", "%2E")


def _findings(run: Run) -> Findings:
    """What is known of a run as it stands: nothing is measured here."""
    if not run.steps:
        return findings(run, unmeasured="nothing was recorded yet")
    if "task" not in run.prompts.labels:
        return findings(run, unmeasured="the prompts have no label 'task'")
    try:
        return findings(run)
    except BadInput:
        return findings(run, unmeasured="it was not measured yet; run nucleate measure on it")
