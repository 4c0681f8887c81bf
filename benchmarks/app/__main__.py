"""The app in a browser that draws in software: frames, memory, first paint, and its peers.

    python benchmarks/app                                  # everything; a quarter of an hour
    python benchmarks/app --quick                          # a trial of two minutes, fewer rounds
    python benchmarks/app --parts frames memory
    python benchmarks/app --peer-python VENV/bin/python    # with tensorboard and jupyter-scatter

Needs Debian's Chromium (or --chromium), playwright, node, and `npm ci` in web. The peers may live
in another environment; one that is not installed is named as absent. Only this machine is spoken
to. Machines are noisy: judge by CPU time and by ratios.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import materials
import opening
import peers
import points
from browser import Chromium, chromium

ROWS, STEPS, STREAMS = 5000, 30, 6


class Bench:
    """The parts; each prints its table, and leaves its numbers in `results`."""

    def __init__(self, options: argparse.Namespace, folder: Path, browser: Chromium) -> None:
        self.options, self._folder, self._browser = options, folder, browser
        self.results: dict[str, Any] = {}
        self._run: materials.Run | None = None

    @property
    def run(self) -> materials.Run:
        """5,000 rows x 30 steps x 6 streams; made when it is first asked for."""
        if self._run is None:
            self._run = materials.write_run(self._folder / "run" / "states", ROWS, STEPS, STREAMS)
        return self._run

    def frames(self) -> str:
        draws = 30 if self.options.quick else 120
        with points.renderer_page() as address:
            found = list(points.frames(self._browser, address, self.options.rounds, draws))
        self.results["frames"] = found
        return points.frames_table(found)

    def choosing(self) -> str:
        with points.renderer_page() as address:
            times = 10 if self.options.quick else 40
            found = list(points.choosing(self._browser, address, times))
        self.results["choosing"] = found
        return points.choosing_table(found)

    def memory(self) -> str:
        steps = 80 if self.options.quick else 200
        with points.renderer_page() as address:
            found = points.playing(self._browser, address, steps, 100_000, say)
        self.results["memory"] = found
        return points.playing_table(found, steps, 100_000)

    def starts(self) -> str:
        one = materials.small_run(self._folder / "small")
        counts = (2, 100) if self.options.quick else (2, 100, 1000)
        folders = {
            count: materials.many_runs(one, self._folder / f"many{count}", count)
            for count in counts
        }
        found = list(opening.starts(self._browser, folders, self.options.rounds))
        self.results["starts"] = found
        return opening.starts_table(found)

    def scrub(self) -> str:
        stream = materials.streams_of(STREAMS)[-1]
        rounds = self.options.rounds
        found = opening.whole_run(self._browser, self.run.path.parent, stream, STEPS, rounds)
        self.results["scrub"] = found
        return opening.run_lines(found)

    def report(self) -> str:
        path, lines = self._folder / "report.html", []
        for most in (25.0,) if self.options.quick else (25.0, 60.0):
            took = opening.written(self.run, path, most)
            found = opening.report(self._browser, path, self.options.rounds)
            self.results[f"report of at most {most:.0f} MB"] = found
            lines.append(f"- `--max-mb {most:.0f}`: " + opening.report_lines(
                found, path.stat().st_size, took
            ))  # fmt: skip
        return "\n".join(lines)

    def peers(self) -> str:
        stream = materials.streams_of(STREAMS)[-1]
        x, task = materials.coordinates(self.run, stream)
        found = peers.side_by_side(
            self._browser, self.run.path.parent, stream, x, task,
            self.options.peer_python, self.options.rounds,
        )  # fmt: skip
        self.results["peers"] = found
        return peers.peers_table(found)


PARTS: dict[str, tuple[str, Callable[[Bench], str]]] = {
    "frames": ("Frames of the point renderer alone", Bench.frames),
    "choosing": ("Lasso and pick", Bench.choosing),
    "memory": ("Memory while a long run plays", Bench.memory),
    "starts": ("Start of the app, first paint", Bench.starts),
    "scrub": ("The app itself, 5,000 rows x 30 steps x 6 streams", Bench.scrub),
    "report": ("The same run as a report in one file", Bench.report),
    "peers": ("Beside its peers, 5,000 rows x 30 steps", Bench.peers),
}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/app", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    add("--quick", action="store_true", help="fewer rounds, rows and runs; a trial")
    add("--rounds", type=int, help="rounds of each; 5, and 2 for --quick")
    add("--peer-python", default=sys.executable, help="interpreter that has the peers")
    add("--chromium", default="/usr/bin/chromium", metavar="PROGRAM")
    add("--json", type=Path, metavar="FILE", help="write all numbers there, too")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    return options


def heading(browser: Chromium) -> str:
    from nucleate import __version__

    return (
        f"nucleate {__version__}, Chromium {browser.version} drawing in software, "
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"load at the start {os.getloadavg()[0]:.1f}. Medians of the rounds [least, most]."
    )


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as name, chromium(options.chromium) as browser:
        bench = Bench(options, Path(name), browser)
        print(heading(browser), flush=True)
        for part in options.parts:
            title, act = PARTS[part]
            say(f"{part} ...")
            table = act(bench)
            print(f"\n## {title}\n\n{table}\n\nload {os.getloadavg()[0]:.1f}", flush=True)
            if (
                options.json
            ):  # anew after every part: what is measured is kept if the next one fails
                options.json.write_text(
                    json.dumps(bench.results, indent=1) + "\n", encoding="utf-8"
                )


if __name__ == "__main__":
    main()
