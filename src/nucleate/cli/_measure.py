"""`nucleate measure`: measure runs' new snapshots, each number with its nulls."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import say

if TYPE_CHECKING:
    from nucleate.findings import PanelFound
    from nucleate.panel import Null
    from nucleate.runs import Run, States


def measure(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="One or several run folders with snapshots.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the tables, with one a run where there are several; by default the "
            "run's own."
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="Comma-separated names, or all; by default those that are quick."),
    ] = None,
    list_metrics: Annotated[
        bool, typer.Option("--list", help="List the metrics and the nulls, and stop.")
    ] = False,
    n_permutations: Annotated[
        int | None,
        typer.Option(
            "--n-permutations", "--permutations", min=0, help="Permutations of each label (N0)."
        ),
    ] = None,
    untrained: Annotated[
        str | None,
        typer.Option(
            help="A model's folder or name: five models of its config with new random weights are "
            "read (N1)."
        ),
    ] = None,
    gaussian: Annotated[
        int | None,
        typer.Option(min=0, help="Draws of a Gaussian of equal covariance, each clustered (N3)."),
    ] = None,
    scrambled: Annotated[
        Path | None, typer.Option(help="A measured run trained without task information (N4).")
    ] = None,
    n_bootstraps: Annotated[
        int | None,
        typer.Option(
            "--n-bootstraps",
            "--bootstraps",
            min=0,
            help="Resamples of instruction strings, for intervals.",
        ),
    ] = None,
    n_init: Annotated[
        int | None, typer.Option("--n-init", "--restarts", min=1, help="Restarts of k-means.")
    ] = None,
    keyframes: Annotated[
        int | None, typer.Option(min=2, help="Steps at which metrics that take long are measured.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all random draws.")] = None,
    details: Annotated[
        bool,
        typer.Option("--details", help="How abruptly it came, nulls that are missing, seconds."),
    ] = False,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure clusters, separation and decodability at every place and snapshot of a run.

    It ends in a line a position: value, nulls, verdict, and since when. The tables are written to
    the run's folder. Run again, it measures new snapshots only, and
    resumes where it was stopped. Settings that are not given are the run's own: those of its
    configuration, else of the panel in its folder, else 999 permutations, 200 bootstraps,
    n-init 20, 5 keyframes and seed 0.
    """
    if list_metrics:
        typer.echo("\n".join(_listing()))
        return
    from nucleate._core.errors import BadInput
    from nucleate.cli._watch import watching
    from nucleate.panel import check_metric_names
    from nucleate.runs import check_writable, read_manifest

    if not runs:
        raise BadInput("name the folder of a run, or ask for --list")
    options.check_distinct(runs)
    folders = [_folder(run, out, alone=len(runs) == 1) for run in runs]
    for run, folder in zip(runs, folders, strict=True):
        read_manifest(run)
        check_writable(folder)
    names = options.names_in(metrics)
    check_metric_names(names or ())
    if scrambled is not None and not (scrambled / "panel.csv").exists():
        raise BadInput(
            f"the panel in {scrambled} cannot be read, for there is no panel.csv; measure that run "
            "first"
        )
    chosen = {
        "metrics": names, "n_bootstraps": n_bootstraps, "n_init": n_init, "keyframes": keyframes,
        "seed": seed, "n_jobs": threads,
    }  # fmt: skip
    draws = {"N0": n_permutations, "N3": gaussian}
    told = []
    with watching(quiet=quiet) as watcher:
        for run, folder in zip(runs, folders, strict=True):
            watcher.say(f"nucleate measure {run}")
            done = _one(run, folder, watcher, chosen, draws, untrained, scrambled)
            if not as_json:
                for line in done.lines(details=details):
                    say(line)
            told.append(done)
    if as_json:
        found = [done.found.to_json(done.folder) for done in told]
        typer.echo(found[0] if len(found) == 1 else f"[{', '.join(found)}]")


@dataclass(frozen=True)
class _Done:
    """One run, measured."""

    run: Path
    folder: Path
    found: "PanelFound"
    others: list[str]
    changed: bool

    def lines(self, *, details: bool) -> list[str]:
        """What was found, and what follows from it for a report that is there."""
        lines = self.found.lines(self.folder, details=details)
        if self.others:
            lines.append(f"Not with the run's own settings: {'; '.join(self.others)}.")
        stale = [place / "report.html" for place in (self.folder, self.folder.absolute().parent)]
        lines += [
            f"{page} shows the panel as it was before; nucleate report {self.run} writes a new one."
            for page in stale
            if self.changed and page.exists()
        ]
        return lines


def _one(
    run: Path,
    folder: Path,
    watcher: Any,
    chosen: dict[str, Any],
    draws: dict[str, int | None],
    untrained: str | None,
    scrambled: Path | None,
) -> _Done:
    """Measure one run into a folder."""
    from nucleate._core.progress import stoppable
    from nucleate.findings import describe_panel, findings
    from nucleate.panel import Untrained, settings_differences
    from nucleate.panel import measure as measure_run
    from nucleate.runs import Run
    from nucleate.views import write_findings

    opened, table = Run(run), folder / "panel.csv"
    before = table.read_bytes() if table.exists() else b""
    fresh = None if untrained is None else _untrained(opened, untrained, watcher)
    if fresh is not None and folder == run:
        opened.save_untrained(fresh)
        fresh = None
    nulls = _ladder(opened, draws, scrambled)
    if fresh is not None:
        nulls = (*(null for null in nulls if null.name != "N1"), Untrained(tuple(fresh)))
    panel = measure_run(
        opened, nulls=nulls, **chosen, progress=stoppable(watcher, "panel"),
        out=None if folder == run else folder,
    )  # fmt: skip
    if folder == run:  # the list of runs and the app tell what is in the summary
        write_findings(findings(Run(run)), run)
    changed = bool(before) and table.read_bytes() != before
    return _Done(run, folder, describe_panel(panel), settings_differences(opened, panel), changed)


def _folder(run: Path, out: Path | None, *, alone: bool) -> Path:
    """Where the tables of a run go."""
    if out is None:
        return run
    return out if alone else out / run.resolve().name


def _ladder(run: "Run", given: dict[str, int | None], scrambled: Path | None) -> "tuple[Null, ...]":
    """The run's own nulls, with what was asked for in their place."""
    from dataclasses import replace

    from nucleate.panel import Panel, Scrambled, settings_of

    own = settings_of(run)
    draws = {**own.nulls, **{name: it for name, it in given.items() if it is not None}}
    if not draws.get("N3"):
        draws.pop("N3", None)
    found = replace(own, nulls=draws).ladder(run)
    return found if scrambled is None else (*found, Scrambled(Panel.load(scrambled)))


def _untrained(run: "Run", model: str, watcher: Any) -> "list[States]":
    from nucleate.activations import capture_untrained

    count = 5
    tick = watcher.part("untrained models", count)
    return capture_untrained(
        model, run.prompts, count=count, progress=lambda done, total: tick(done, "")
    )


def _listing() -> list[str]:
    from nucleate.panel import LADDER, panel_metrics

    known = panel_metrics()
    width = max(map(len, known))
    lines = ["metrics:"]
    for name, metric in known.items():
        asked = " (on request)" if metric.on_request else ""
        lines.append(f"  {name:{width}}  {metric.about}{asked}")
    lines.append("nulls:")
    lines += [f"  {rung.name}  {rung.asks} Needs {rung.needs}." for rung in LADDER]
    return lines
