"""`nucleate measure`: measure a run's new snapshots, each number with its nulls."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nucleate.cli import _options as options
from nucleate.cli._text import say

if TYPE_CHECKING:
    from nucleate.panel import Null
    from nucleate.runs import Run


def measure(
    run: Annotated[Path | None, typer.Argument(help="A run folder with snapshots.")] = None,
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
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure clusters, separation and decodability at every place and snapshot of a run.

    The tables are written to the run's folder. Run again, it measures new snapshots only, and
    resumes where it was stopped. Settings that are not given are the run's own: those of its
    configuration, else of the panel in its folder, else 999 permutations, 200 bootstraps,
    n-init 20, 5 keyframes and seed 0.
    """
    if list_metrics:
        typer.echo("\n".join(_listing()))
        return
    from nucleate._core.errors import BadInput
    from nucleate._core.progress import stoppable
    from nucleate.cli._watch import watching
    from nucleate.panel import check_metric_names
    from nucleate.runs import read_manifest

    if run is None:
        raise BadInput("name the folder of a run, or ask for --list")
    read_manifest(run)
    names = options.names_in(metrics)
    check_metric_names(names or ())
    if scrambled is not None and not (scrambled / "panel.csv").exists():
        raise BadInput(
            f"the panel in {scrambled} cannot be read, for there is no panel.csv; measure that run "
            "first"
        )
    with watching(quiet=quiet) as watcher:
        watcher.say(f"nucleate measure {run}")
        from nucleate.findings import describe_panel
        from nucleate.panel import measure as measure_run
        from nucleate.panel import settings_differences
        from nucleate.runs import Run

        opened = Run(run)
        if untrained is not None:
            _read_untrained(opened, untrained, watcher)
        panel = measure_run(
            opened,
            nulls=_ladder(opened, n_permutations, gaussian, scrambled),
            metrics=names,
            n_bootstraps=n_bootstraps,
            n_init=n_init,
            keyframes=keyframes,
            seed=seed,
            n_jobs=threads,
            progress=stoppable(watcher, "panel"),
        )
    found = describe_panel(panel)
    if as_json:
        typer.echo(found.to_json(run))
        return
    for line in found.lines(run):
        say(line)
    if others := settings_differences(opened, panel):
        say(f"Not with the run's own settings: {'; '.join(others)}.")


def _ladder(
    run: "Run", n_permutations: int | None, gaussian: int | None, scrambled: Path | None
) -> "tuple[Null, ...]":
    """The run's own nulls, with what was asked for in their place."""
    from dataclasses import replace

    from nucleate.panel import Panel, Scrambled, settings_of

    own = settings_of(run)
    given = {"N0": n_permutations, "N3": gaussian}
    draws = {**own.nulls, **{name: it for name, it in given.items() if it is not None}}
    if not draws.get("N3"):
        draws.pop("N3", None)
    found = replace(own, nulls=draws).ladder(run)
    return found if scrambled is None else (*found, Scrambled(Panel.load(scrambled)))


def _read_untrained(run: "Run", model: str, watcher: Any) -> None:
    from nucleate.activations import capture_untrained

    count = 5
    tick = watcher.part("untrained models", count)
    states = capture_untrained(
        model, run.prompts, count=count, progress=lambda done, total: tick(done, "")
    )
    run.save_untrained(states)


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
