"""What the service costs over HTTP: the real server on loopback, asked by a process of its own.

    python -m benchmarks.operate.http [PART ...] [--seconds 30] [--requests 720000] [--seed 0]

Parts: `latency` (200 requests a second of one vector, as JSON and packed, beside an empty answer),
`watched` (the same while drift is watched), `batches` (packed bodies), `wrk` (as many single ones
as it answers), `memory` (an hour's worth of requests, sent faster), `reload` and `stop` (under
load: requests that were sent and not answered), `alerts` (how often the rule of the outside share
is wrong, simulated). By default all of them.

The client keeps to a timetable: a request's time counts from when it was due, not from when it was
sent, so that a server that stalls is charged for all who wait (no coordinated omission). What the
client itself takes is printed: its CPU seconds, and the times of `/healthz` at the same rate.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from nucleate.monitor.atlas import fit_atlas

WIDTH, CLUSTERS, BANK = 256, 100, 1000
RATE = 200
COMMAND = [sys.executable, "-c", "from nucleate.cli import main; main()", "serve"]


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around a center a cluster, and their clusters."""
    centers = np.random.default_rng(0).normal(size=(CLUSTERS, WIDTH)) * 2
    rng = np.random.default_rng(seed)
    code = rng.integers(0, CLUSTERS, count)
    return (centers[code] + rng.normal(size=(count, WIDTH))).astype(np.float32), code


def make_atlas(folder: Path, seed: int = 1) -> str:
    vectors, code = rows(9000, seed)
    atlas = fit_atlas(vectors, [f"task {k}" for k in code], bank_rows=BANK)
    atlas.save(folder)
    return atlas.version


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[psutil.Process, int]]:
    """The server and its port."""
    command = [*COMMAND, str(folder), "--port", "0", "--quiet", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[1].rpartition(":")[2])
        try:
            yield psutil.Process(process.pid), port
        finally:
            process.terminate()
            process.wait(60)


def request(path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    method = "POST" if body else "GET"
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"
    head += f"content-type: {kind}\r\nx-nucleate-width: {WIDTH}\r\n\r\n"
    return head.encode() + body


def one_vector(seed: int) -> bytes:
    vector = [round(float(x), 6) for x in rows(1, seed)[0][0]]
    return request("/v1/score", json.dumps({"rows": [{"vector": vector}]}).encode())


def packed(count: int, seed: int) -> bytes:
    body = rows(count, seed)[0].astype("<f4").tobytes()
    return request("/v1/score", body, "application/octet-stream")


class Connection(asyncio.Protocol):
    """One connection: a request at a time, the least that reads an answer whole."""

    def __init__(self) -> None:
        self._held = b""
        self._answer: asyncio.Future[tuple[int, bool, bytes]] | None = None
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.open = transport, True

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, found, body = self._held.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) >= length and self._answer is not None:
            answer, self._answer, self._held = self._answer, None, body[length:]
            closes = b"connection: close" in lower
            answer.set_result((int(head[9:12]), closes, body[:length]))

    def connection_lost(self, _: Exception | None) -> None:
        self.open = False
        if self._answer is not None:
            self._answer.set_result((0, True, b""))

    def ask(self, data: bytes) -> asyncio.Future[tuple[int, bool, bytes]]:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)  # type: ignore[attr-defined]
        return self._answer


@dataclass
class Asked:
    """What became of the requests; status 0: sent, and the connection ended without an answer."""

    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    told_to_close: float = 0.0
    cpu: float = 0.0

    def line(self, name: str) -> str:
        ms = 1000 * np.array(self.seconds)
        good = sum(status == 200 for status in self.statuses)
        quantiles = ", ".join(f"p{q} {np.percentile(ms, q):.2f}" for q in (50, 95, 99, 99.9))
        low, high = interval(ms, 99)
        return (
            f"{name}: {len(ms)} requests, {good} answered 200; ms: {quantiles} "
            f"(p99 within [{low:.2f}, {high:.2f}]), max {ms.max():.1f}; client "
            f"{1000 * self.cpu / len(ms):.2f} ms CPU a request"
        )


def interval(values: np.ndarray, percent: float) -> tuple[float, float]:
    """95 % interval of a quantile from blocks of 200 in a row: neighbors share their stalls."""
    blocks = np.array_split(values, max(len(values) // 200, 2))
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(500):
        chosen = [blocks[k] for k in rng.integers(0, len(blocks), len(blocks))]
        drawn.append(np.percentile(np.concatenate(chosen), percent))
    return float(np.percentile(drawn, 2.5)), float(np.percentile(drawn, 97.5))


async def timetable(
    port: int, bodies: list[bytes], rate: float, seconds: float,
    during: Callable[[float], None] = lambda _: None,
) -> Asked:  # fmt: skip
    """Send at fixed times, over as many connections as it takes, until told to go."""
    loop, asked, idle = asyncio.get_running_loop(), Asked(), []
    pending: set[asyncio.Task[None]] = set()

    async def one(due: float, data: bytes) -> None:
        connection = next((each for each in [idle.pop()] if each.open), None) if idle else None
        if connection is None:
            _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        status, closes, body = await connection.ask(data)
        asked.seconds.append(loop.time() - due)
        asked.statuses.append(status)
        if status == 200 and b'"atlas":"' in body:
            asked.versions.add(body.partition(b'"atlas":"')[2][:16].decode())
        if closes and not asked.told_to_close:
            asked.told_to_close = loop.time()
        if not closes:
            idle.append(connection)

    began, used = loop.time(), resource.getrusage(resource.RUSAGE_SELF)
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        # As a balancer that looks every second: the next requests go elsewhere.
        if asked.told_to_close and loop.time() > asked.told_to_close + 1:
            break
        task = asyncio.create_task(one(due, bodies[number % len(bodies)]))
        pending.add(task)
        task.add_done_callback(pending.discard)
        during(loop.time() - began)
    await asyncio.gather(*pending)
    now = resource.getrusage(resource.RUSAGE_SELF)
    asked.cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return asked


async def as_fast_as_it_goes(
    port: int, bodies: list[bytes], count: int, connections: int,
    during: Callable[[int], None] = lambda _: None,
) -> tuple[float, int]:  # fmt: skip
    """Send so many, each connection the next one when it has its answer; seconds, and failures."""
    loop = asyncio.get_running_loop()
    numbers, failed = iter(range(count)), 0

    async def line() -> None:
        nonlocal failed
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        for number in numbers:
            status, _, _ = await connection.ask(bodies[number % len(bodies)])
            failed += status != 200
            during(number)

    began = time.perf_counter()
    await asyncio.gather(*(line() for _ in range(connections)))
    return time.perf_counter() - began, failed


def latency(folder: Path, seconds: float, seed: int, *options: str) -> None:
    singles = [one_vector(1000 * seed + number) for number in range(200)]
    kinds = {
        "GET /healthz": [request("/healthz")],
        "one vector, JSON": singles,
        "one vector, packed": [packed(1, 1000 * seed + number) for number in range(200)],
        "32 vectors, packed": [packed(32, 1000 * seed + number) for number in range(50)],
    }
    with serving(folder, *options) as (server, port):
        asyncio.run(timetable(port, singles, RATE, 3))
        for kind, bodies in kinds.items():
            before = sum(server.cpu_times()[:2])
            asked = asyncio.run(timetable(port, bodies, RATE, seconds))
            used = 1000 * (sum(server.cpu_times()[:2]) - before) / len(asked.seconds)
            print(asked.line(kind), f"server {used:.2f} ms CPU", sep="; ", flush=True)


def batches(folder: Path) -> None:
    with serving(folder, "--drift-look", "0") as (server, port):
        for size in (100, 1000, 5000):
            bodies = [packed(size, seed) for seed in range(3)]
            asyncio.run(as_fast_as_it_goes(port, bodies, 5, 1))
            before, count = sum(server.cpu_times()[:2]), 60_000 // size
            seconds, failed = asyncio.run(as_fast_as_it_goes(port, bodies, count, 2))
            used = sum(server.cpu_times()[:2]) - before
            print(
                f"batches of {size}: {count * size / seconds:,.0f} vectors a second, "
                f"{count * size / used:,.0f} a CPU second of the server, {failed} failed"
            )


def wrk(folder: Path) -> None:
    """As many single vectors as it answers, asked by a client that others wrote."""
    body = one_vector(0).partition(b"\r\n\r\n")[2].decode()
    script = folder.parent / "post.lua"
    script.write_text(
        'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\n'
        f"wrk.body = [[{body}]]\n"
    )
    with serving(folder, "--drift-look", "0") as (_, port):
        url = f"http://127.0.0.1:{port}/v1/score"
        for connections in (1, 8):
            command = ["wrk", "-t1", f"-c{connections}", "-d10s", "--latency", "-s", script, url]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
            wanted = ("50%", "99%", "Requests/sec", "Non-2xx", "Socket errors")
            lines = [" ".join(each.split()) for each in done.stdout.splitlines()]
            found = "; ".join(each for each in lines if each.startswith(wanted))
            print(f"wrk, one vector, {connections} connections: {found}")


def memory(folder: Path, requests: int) -> None:
    bodies = [one_vector(seed) for seed in range(100)] + [packed(1, seed) for seed in range(100)]
    with serving(folder) as (server, port):
        asyncio.run(as_fast_as_it_goes(port, bodies, 20_000, 8))
        held: list[tuple[int, float, float]] = []
        every = max(requests // 36, 1)

        def look(number: int) -> None:
            if number % every == 0:
                held.append((number, *_resident(server)))

        seconds, failed = asyncio.run(as_fast_as_it_goes(port, bodies, requests, 8, look))
        number, own, drift = np.array(held).T
        half = len(number) // 2
        slope = np.polyfit(number[half:], own[half:], 1)[0] * 1e5
        print(
            f"memory: {requests} requests of one vector in {seconds:.0f} s ({failed} failed); "
            f"server {own[0]:.1f} MiB -> {own[-1]:.1f} MiB (second half: {slope:+.2f} MiB per "
            f"100,000 requests), drift process {drift[0]:.1f} -> {drift[-1]:.1f} MiB"
        )
        print("  server MiB:", " ".join(f"{each:.1f}" for each in own[:: max(len(own) // 12, 1)]))


def _resident(server: psutil.Process) -> tuple[float, float]:
    """MiB of the server, and of the process that watches drift."""
    children = sum(each.memory_info().rss for each in server.children()) / 2**20
    return server.memory_info().rss / 2**20, children


def reload(folder: Path) -> None:
    versions = {make_atlas(folder, seed) for seed in (2, 1)}
    bodies = [one_vector(seed) for seed in range(200)]
    with serving(folder, "--drift-look", "0") as (server, port):
        # Made beforehand, so that what is measured is the service and not the fitting.
        stored = [_kept(folder)]
        make_atlas(folder, 2)
        stored.append(_kept(folder))
        done: list[int] = []

        def swap(at: float) -> None:
            if at > 1 + len(done):
                _put(folder, stored[len(done) % 2])
                done.append(1)
                server.send_signal(signal.SIGHUP)

        asked = asyncio.run(timetable(port, bodies, RATE, 15, swap))
    print(asked.line(f"reload: {len(done)} swaps by SIGHUP"))
    lost = sum(status != 200 for status in asked.statuses)
    print(f"  lost or refused: {lost}; answered by both atlases: {asked.versions == versions}")


def _kept(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _put(folder: Path, files: dict[str, bytes]) -> None:
    """Exchange both files, each whole."""
    for name, data in files.items():
        partial = folder / f".{name}.new"
        partial.write_bytes(data)
        partial.replace(folder / name)


def stop(folder: Path) -> None:
    bodies = [one_vector(seed) for seed in range(200)]
    lost = sent = 0
    for _ in range(5):
        with serving(folder, "--drift-look", "0") as (server, port):
            told: list[int] = []

            def end(at: float, server: psutil.Process = server, told: list[int] = told) -> None:
                if at > 1.5 and not told:
                    told.append(1)
                    server.terminate()

            asked = asyncio.run(timetable(port, bodies, 2 * RATE, 6, end))
            began = time.perf_counter()
            server.wait(30)
            ended = time.perf_counter() - began
        lost += sum(status != 200 for status in asked.statuses)
        sent += len(asked.statuses)
    print(f"stop: {sent} requests over 5 stops by SIGTERM at {2 * RATE} a second, {lost} lost; "
          f"the last stop took {ended:.1f} s after the last answer")  # fmt: skip


def alerts() -> None:
    """False alarms a month of the rule of the outside share, independent rows, 20 years each."""
    rng, minutes = np.random.default_rng(0), 60 * 24 * 365
    for true, upper in ((0.07, 0.07), (0.05, 0.07), (0.12, 0.12), (0.02, 0.02)):
        for rows_a_minute in (2, 20, 200):
            episodes = 0
            for _ in range(20):
                counts = rng.poisson(rows_a_minute, minutes)
                outside = rng.binomial(counts, true)
                hour, out = (np.convolve(each, np.ones(60), "valid") for each in (counts, outside))
                limit = upper + 6 * np.sqrt(upper * (1 - upper) / np.maximum(hour, 1))
                high = np.flatnonzero((hour >= 100) & (out > limit * hour))
                episodes += int(len(high) > 0) + int((np.diff(high) > 60).sum())
            # Of no event in n months the 95 % end is 3 / n; else about Poisson's.
            most = (episodes + 2 * np.sqrt(episodes) + 3) / 240
            print(
                f"alert of the outside share, true {true}, plausible {upper}, {rows_a_minute} rows "
                f"a minute: {episodes} in 240 months (at most {most:.3f} a month)"
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--requests", type=int, default=720_000)
    given = parser.parse_args()
    parts: dict[str, Callable[[Path], None]] = {
        "latency": lambda folder: latency(folder, given.seconds, given.seed, "--drift-look", "0"),
        "watched": lambda folder: latency(folder, given.seconds, given.seed),
        "batches": batches,
        "wrk": wrk,
        "memory": lambda folder: memory(folder, given.requests),
        "reload": reload,
        "stop": stop,
        "alerts": lambda _: alerts(),
    }
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{os.cpu_count()} cores, load before {load}; width {WIDTH}, {CLUSTERS} clusters, "
          f"{BANK} rows to look for neighbors among")  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "atlas"
        make_atlas(folder, given.seed + 1)
        gc.collect()
        gc.freeze()  # the client's own pauses are not the server's
        for name in given.parts or parts:
            parts[name](folder)


if __name__ == "__main__":
    main()
