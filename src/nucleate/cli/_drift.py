"""`nucleate drift`: whether requests still are what an atlas's reference was drawn from."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nucleate._core.errors import BadInput
from nucleate.cli import _options as options
from nucleate.cli._text import say

if TYPE_CHECKING:
    from nucleate.monitor.atlas import Atlas
    from nucleate.monitor.drift import DriftMonitor, DriftReport, DriftSample


def drift(
    atlas: Annotated[Path, typer.Argument(help="A folder that nucleate atlas fit wrote.")],
    scored: Annotated[
        list[Path], typer.Argument(help="Folders that nucleate score wrote, oldest first.")
    ],
    looks: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Look after every N requests; by default all requests are tested once.",
        ),
    ] = None,
    horizon: Annotated[
        int, typer.Option(min=1, help="Looks over which the rate of false alarms holds.")
    ] = 100,
    rate: Annotated[float, typer.Option(help="Of false alarms: of one test, or a horizon.")] = 0.05,
    outside: Annotated[
        float, typer.Option(help="p from which down a request belongs to no cluster.")
    ] = 0.05,
    matters: Annotated[
        float, typer.Option(help="Share of requests whose moving matters; else undecided.")
    ] = 0.2,
    anytime: Annotated[
        bool,
        typer.Option(
            "--anytime", help="With --looks: evidence without simulated limits; sees less."
        ),
    ] = False,
    per_day: Annotated[
        float | None, typer.Option(help="Requests a day; by default from their column time.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="With --looks: file in which looks are kept from call to call."),
    ] = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
    out: Annotated[Path | None, typer.Option(help="Folder, or .json file, to write to.")] = None,
) -> None:
    """Say whether requests have drifted from the reference of an atlas, and how.

    Shares of clusters, requests outside all clusters, scores, states within clusters, new clusters.
    Without --looks this is one test; for repeated looks give --looks, as a test that is repeated
    every day alarms without drift. Exit code 1: drift.
    """
    from nucleate.monitor.atlas import Atlas
    from nucleate.monitor.drift import DriftSample, read_drift_sample

    if looks is None and (anytime or state is not None):
        name = "--anytime" if anytime else "--state"
        raise BadInput(f"{name} is given without --looks; add --looks with the requests of a look")
    loaded = Atlas.load(atlas)
    requests = DriftSample.joined([read_drift_sample(loaded, path) for path in scored])
    # Requests without texts are held against the reference as it looks without texts.
    detector = "states" if requests.detector == "states" else None
    reference = DriftSample.of_reference(loaded, detector)
    if looks is None:
        from nucleate.monitor.drift import drift as look

        report = look(
            reference, requests, rate=rate, outside=outside,
            matters=matters, training=loaded.texts_hashes, per_day=per_day, seed=seed,
        )  # fmt: skip
    else:
        from nucleate.monitor.drift import DriftMonitor

        monitor = _monitor(loaded, reference, state) or DriftMonitor(
            reference, size=looks, horizon=horizon, rate=rate,
            method="anytime" if anytime else "scan", outside=outside, matters=matters,
            training=loaded.texts_hashes, seed=seed,
            per_day=requests.per_day if per_day is None else per_day,
        )  # fmt: skip
        report = _looked(monitor, requests, state)
    _tell(report, as_json, out)
    if report.verdict.value == "drift":
        raise typer.Exit(1)


def _monitor(atlas: "Atlas", reference: "DriftSample", state: Path | None) -> "DriftMonitor | None":
    """The monitor that a state file holds; None where there is no such file yet."""
    from nucleate.monitor.drift import DriftMonitor

    if state is None or not state.is_file():
        return None
    try:
        found = json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{state} is no state of drift ({error}); name another file") from error
    return DriftMonitor.restore(found, reference, training=atlas.texts_hashes)


def _looked(monitor: "DriftMonitor", requests: "DriftSample", state: Path | None) -> "DriftReport":
    from nucleate.runs import write_json

    report = monitor.add(requests)
    if state is not None:
        write_json(state, monitor.state())
    return report


def _tell(report: "DriftReport", as_json: bool, out: Path | None) -> None:
    from nucleate.runs import write_json

    if out is not None:
        file = out if out.suffix == ".json" else out / "drift.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, report.to_dict())
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
        return
    for line in report.lines():
        say(line)
