"""How often drift is said where there is none, and which drift is found.

    python -m benchmarks.operate.drift [--world gaussian words states] [--seeds 0 1 2]
        [--repeats 200] [--power 100] [--draws 2000] [--only looks horizon anytime speed]
        [--out FOLDER]

Worlds:

- gaussian: 100 Gaussian clusters of uneven shares in 128 dimensions; every row is new.
- words: TF-IDF of clinc150 (120 intents) in 128 principal directions, no model at all.
- states: the small Llama of `benchmarks.operate.scoring`, trained on 100 intents; p by states and
  words combined, as its atlas chooses.

Rows of the last two are few, so that the truth is taken to be a finite one: the rows that neither
clusters nor calibration were made from *are* the population, and both the reference (2,000 rows)
and all requests are drawn from it anew in every repeat, each row independently, with replacement.
That is a null by construction. Requests drawn from the reference's own rows would be an easier one;
a reference and requests from two halves would differ, as two samples of so few rows do.

Shifts, each from the first request on:

- domain: a share of requests moved to one of ten domains (gaussian: to five clusters)
- outside: a share replaced by requests outside every intent (110 rows, so that they repeat)
- new: a share replaced by rows of one cluster that the atlas does not have (a held-out intent)
- typos: a share with two typing errors each (gaussian: a spread of 1.15)

In a horizon the shift begins at look 21.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.operate.intents import DATA, Requests, prompts_of, trained
from scipy.stats import binomtest

from nucleate.monitor.drift import DriftMonitor, DriftReport, DriftSample, drift

REFERENCE, SIZE, HORIZON, TURN, RATE = 2000, 100, 100, 20, 0.05
SHIFTS = (
    ("domain", 0.2, 500), ("domain", 0.1, 500), ("domain", 0.1, 2000), ("outside", 0.05, 500),
    ("outside", 0.05, 2000), ("new", 0.05, 500), ("typos", 0.3, 500),
)  # fmt: skip
EDITS = 2


@dataclass(frozen=True)
class World:
    """Where rows come from.

    Attributes:
        draw: rows of the population.
        shifted: rows of each shift, all of them changed; by its name.
    """

    draw: Callable[[np.random.Generator, int], DriftSample]
    shifted: dict[str, Callable[[np.random.Generator, int], DriftSample]]

    def requests(
        self, rng: np.random.Generator, rows: int, shift: str = "", share: float = 0.0
    ) -> DriftSample:
        if not shift:
            return self.draw(rng, rows)
        moved = rng.random(rows) < share
        parts = [self.draw(rng, int((~moved).sum()))]
        if moved.any():
            parts.append(self.shifted[shift](rng, int(moved.sum())))
        joined = DriftSample.joined(parts)
        place = np.empty(rows, dtype=int)
        place[np.concatenate([np.flatnonzero(~moved), np.flatnonzero(moved)])] = np.arange(rows)
        return joined.take(place)


def gaussian(seed: int, clusters: int = 100, width: int = 128) -> World:
    rng = np.random.default_rng(seed)
    centers = 1.1 * rng.standard_normal((clusters + 1, width))
    shares = rng.dirichlet(np.full(clusters, 5))

    def rows(rng: np.random.Generator, code: np.ndarray, spread: float = 1.0) -> np.ndarray:
        return centers[code] + spread * rng.standard_normal((len(code), width))

    def usual(rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.choice(clusters, count, p=shares)

    def squared(vectors: np.ndarray) -> np.ndarray:
        known = centers[:clusters]
        cross = vectors @ known.T
        return np.square(vectors).sum(1)[:, None] - 2 * cross + np.square(known).sum(1)

    held_out = np.sort(squared(rows(rng, usual(rng, 1000))).min(1))

    def scored(vectors: np.ndarray) -> DriftSample:
        distances = squared(vectors)
        code = distances.argmin(1)
        above = len(held_out) - np.searchsorted(held_out, distances.min(1))
        vectors = vectors.astype(np.float32)
        residual = (vectors - centers[code]).astype(np.float32)
        p = (1 + above) / (1 + len(held_out))
        return DriftSample(tuple(f"c{k}" for k in range(clusters)), code, p, vectors, residual)

    return World(
        lambda rng, n: scored(rows(rng, usual(rng, n))),
        {
            "domain": lambda rng, n: scored(rows(rng, rng.integers(5, size=n))),
            "outside": lambda rng, n: scored(1.5 * rng.standard_normal((n, width))),
            "new": lambda rng, n: scored(rows(rng, np.full(n, clusters))),
            "typos": lambda rng, n: scored(rows(rng, usual(rng, n), 1.15)),
        },
    )


def finite(
    population: DriftSample, domains: np.ndarray, others: dict[str, list[DriftSample]]
) -> World:
    """A world whose rows are those of a sample, drawn with replacement."""
    names = np.unique(domains)

    def of(sample: DriftSample) -> Callable[[np.random.Generator, int], DriftSample]:
        return lambda rng, n: sample.take(rng.integers(len(sample), size=n))

    def one_domain(rng: np.random.Generator, n: int) -> DriftSample:
        # The domain is that of the repeat: looks of one stream move to the same one.
        rows = np.flatnonzero(domains == names[rng.bit_generator.seed_seq.entropy % len(names)])
        return population.take(rng.choice(rows, n))

    def one_of(samples: list[DriftSample]) -> Callable[[np.random.Generator, int], DriftSample]:
        def drawn(rng: np.random.Generator, n: int) -> DriftSample:
            return of(samples[rng.bit_generator.seed_seq.entropy % len(samples)])(rng, n)

        return drawn

    shifted = {name: one_of(samples) for name, samples in others.items()}
    return World(of(population), {"domain": one_domain} | shifted)


def with_typos(text: str, rng: np.random.Generator) -> str:
    """The text with two letters swapped, left out or doubled."""
    letters = list(text)
    for _ in range(EDITS):
        at = int(rng.integers(max(len(letters) - 1, 1)))
        match int(rng.integers(3)):
            case 0 if len(letters) > at + 1:
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
            case 1 if len(letters) > 1:
                del letters[at]
            case _:
                letters.insert(at, letters[at])
    return "".join(letters).strip() or text


def domains_of(data: Path) -> dict[str, str]:
    lines = (data / "tasks.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["task"]: row["category"] for row in map(json.loads, lines)}


def words(seed: int, data: Path) -> World:
    """TF-IDF and SVD, fitted to a third of the rows; the population is the reference split."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    from nucleate.monitor.atlas import fit_atlas

    requests = Requests.read(seed, data)
    known = requests.where("train", "valid", "test")
    rng = np.random.default_rng(seed)
    order = rng.permutation(known)
    fit, population = order[: len(order) * 2 // 3], order[len(order) * 2 // 3 :]
    texts = np.array([row["text"] for row in requests.rows], dtype=object)
    tasks = np.array([row["task"] for row in requests.rows])
    features = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TruncatedSVD(128, random_state=seed),
        Normalizer(),
    ).fit(texts[fit])
    atlas = fit_atlas(
        features.transform(texts[fit]).astype(np.float32), tasks[fit].tolist(), seed=seed,
        shares={"place": 0.05, "fit": 0.65, "detector": 0.05, "calibration": 0.2,
                "reference": 0.05},
    )  # fmt: skip

    def scored(some: Any) -> DriftSample:
        vectors = features.transform(some).astype(np.float32)
        return DriftSample.of_scores(atlas, atlas.score(vectors), vectors)

    return _of_texts(requests, population, data, rng, scored)


def states(seed: int, data: Path) -> World:
    """A model and its atlas: test rows, and those validation rows that nothing was made from."""
    from nucleate.monitor.atlas import fit_model_atlas, read_vectors, text_hash

    requests = Requests.read(seed, data)
    found = trained(requests, seed)
    rows = [requests.rows[k] for k in requests.where("train", "valid")]
    prompts = prompts_of(rows, found.tokenizer, ("mean", -2, "last"))
    atlas = fit_model_atlas(found.model, prompts, seed=seed)
    unused = set(atlas.reference.hashes)
    population = np.array(
        [
            k for k in requests.where("valid", "test")
            if requests.rows[k]["split"] == "test" or text_hash(requests.rows[k]["text"]) in unused
        ]
    )  # fmt: skip

    def scored(some: Any) -> DriftSample:
        made = prompts_of([{"text": text} for text in some], found.tokenizer, atlas.position)
        vectors = read_vectors(atlas, found.model, made)
        return DriftSample.of_scores(atlas, atlas.score(vectors, list(some)), vectors)

    print(f"  atlas of {atlas.stream} @ {atlas.position}, p by {atlas.in_use}")
    return _of_texts(requests, population, data, np.random.default_rng(seed), scored)


def _of_texts(
    requests: Requests,
    population: np.ndarray,
    data: Path,
    rng: np.random.Generator,
    scored: Callable[[Any], DriftSample],
) -> World:
    texts = np.array([row["text"] for row in requests.rows], dtype=object)
    tasks = np.array([row["task"] for row in requests.rows])
    domain = domains_of(data)
    held_out = sorted(set(tasks[requests.intent == -1]))
    others = {
        "outside": [scored(texts[requests.intent == -2])],
        "new": [scored(texts[tasks == name]) for name in held_out],
        "typos": [scored([with_typos(text, rng) for text in texts[population]])],
    }
    usual = scored(texts[population])
    print(f"  population {len(population)} rows, {(usual.p <= 0.05).mean():.3f} outside; "
          f"outside every intent {len(others['outside'][0])} rows, "
          f"{(others['outside'][0].p <= 0.05).mean():.3f} outside; "
          f"{len(held_out)} held-out intents")  # fmt: skip
    return finite(usual, np.array([domain[task] for task in tasks[population]]), others)


def seeded(*parts: int) -> np.random.Generator:
    """A generator whose entropy is one number, which `finite` takes its choices from."""
    drawn = np.random.SeedSequence(parts).generate_state(1)[0]
    return np.random.default_rng(np.random.SeedSequence(int(drawn)))


def share(hits: int, of: int) -> dict[str, Any]:
    ends = binomtest(hits, of).proportion_ci(method="wilson")
    return {"hits": hits, "of": of, "share": hits / of, "interval": [ends.low, ends.high]}


def told(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['share']:.3f} [{low:.3f}, {high:.3f}] ({found['hits']} of {found['of']})"


def of_worlds(worlds: list[World], repeats: int, first: int) -> Iterator[tuple[int, World]]:
    """Repeats in turn over the worlds of all seeds; the number is the seed of all draws."""
    for number in range(first, first + repeats):
        yield number, worlds[number % len(worlds)]


def looks(worlds: list[World], repeats: int, power: int, first: int) -> dict[str, Any]:
    """One test each."""
    report: dict[str, Any] = {}
    cases = [("", 0.0, n, repeats) for n in (100, 500, 2000)]
    cases += [(*shift, power) for shift in SHIFTS]
    for shift, moved, n, times in cases:
        found: list[DriftReport] = []
        for number, world in of_worlds(worlds, times, first):
            rng = seeded(1, n, number)
            found.append(
                drift(world.draw(rng, REFERENCE), world.requests(rng, n, shift, moved), seed=number)
            )
        hits = share(sum(each.verdict.value == "drift" for each in found), times)
        by = {
            name: sum(name in each.found for each in found) / times
            for name in ("mass", "regions", "outside", "score", "residuals", "new group")
        }
        name = f"{shift or 'none'} {moved:g}, {n} requests"
        report[name] = hits | {"by": by}
        listed = ", ".join(f"{one} {value:.2f}" for one, value in by.items())
        print(f"  {name}: {told(hits)}; {listed}", flush=True)
    return report


def horizons(
    worlds: list[World], repeats: int, power: int, first: int, method: str, draws: int
) -> dict[str, Any]:
    """A hundred looks each."""
    report: dict[str, Any] = {}
    for shift, moved, times in (
        ("", 0.0, repeats), ("outside", 0.05, power), ("domain", 0.1, power),
    ):  # fmt: skip
        alarms, since, by = [], [], []
        for number, world in of_worlds(worlds, times, first):
            rng = seeded(2, number)
            monitor = DriftMonitor(
                world.draw(rng, REFERENCE),
                size=SIZE,
                horizon=HORIZON,
                method=method,
                draws=draws,
                seed=number,
            )
            turn = TURN if shift else 0
            if turn:
                monitor.add(world.draw(rng, SIZE * turn))
            found = monitor.add(world.requests(rng, SIZE * (HORIZON - turn), shift, moved))
            assert found.looks is not None
            alarms.append(found.looks.first_alarm or 0)
            since.append(found.looks.since or 0)
            by.append(found.found)
            if len(alarms) % 20 == 0:
                print(f"    {len(alarms)} repeats, {np.count_nonzero(alarms)} alarms", flush=True)
        at = np.array(alarms)
        name = f"{method}, {shift or 'none'} {moved:g}"
        right = (at > TURN) if shift else (at > 0)
        report[name] = share(int(right.sum()), times)
        line = f"  {name}: {told(report[name])}"
        if shift and right.any():
            delay = np.quantile(at[right] - TURN, [0.5, 0.25, 0.75]).tolist()
            off = np.abs(np.array(since)[right] - TURN - 1)
            report[name] |= {"delay": delay, "start_off": float(np.median(off)),
                             "before": int(((at > 0) & ~right).sum())}  # fmt: skip
            line += (f"; delay {delay[0]:.0f} looks (quartiles {delay[1]:.0f}, {delay[2]:.0f}), "
                     f"start told within {np.median(off):.0f} looks (median), "
                     f"{report[name]['before']} alarms before the shift")  # fmt: skip
        named = [one for each in by for one in each]
        line += "; " + ", ".join(f"{one} {named.count(one)}" for one in sorted(set(named)))
        print(line, flush=True)
    return report


def speed(world: World) -> dict[str, float]:
    """CPU seconds of one thread."""
    rng = seeded(3)
    reference, requests = world.draw(rng, REFERENCE), world.draw(rng, 4000)
    found = {}

    def timed(name: str, work: Callable[[], Any]) -> None:
        started = time.process_time()
        work()
        found[name] = time.process_time() - started

    timed("one look, 2,000 requests", lambda: drift(reference, requests.take(slice(0, 2000))))
    monitor = DriftMonitor(reference, size=2000, per_day=1e4)
    timed("first look with limits and power", lambda: monitor.add(requests.take(slice(0, 2000))))
    timed("look of 2,000", lambda: monitor.add(requests.take(slice(2000, 4000))))
    small = DriftMonitor(reference)
    small.add(requests.take(slice(0, 100)))
    timed("39 looks of 100", lambda: small.add(requests.take(slice(100, 4000))))
    print("  " + ", ".join(f"{name}: {value:.2f} s" for name, value in found.items()))
    found["state MB"] = len(json.dumps(small.state())) / 1e6
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", nargs="+", default=["gaussian", "words", "states"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--power", type=int, default=100)
    parser.add_argument("--draws", type=int, default=2000, help="simulated horizons")
    parser.add_argument("--first", type=int, default=0, help="seed of the first repeat")
    parser.add_argument("--only", nargs="+", default=["looks", "horizon", "anytime", "speed"])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, help="folder of drift.json")
    given = parser.parse_args()
    report: dict[str, Any] = {}
    for name in given.world:
        print(name, flush=True)
        made = {
            "gaussian": lambda seed: gaussian(seed),
            "words": lambda seed: words(seed, given.data),
            "states": lambda seed: states(seed, given.data),
        }[name]
        worlds = [made(seed) for seed in given.seeds]
        found: dict[str, Any] = {"seeds": given.seeds}
        if "speed" in given.only:
            found["speed"] = speed(worlds[0])
        if "looks" in given.only:
            found["looks"] = looks(worlds, given.repeats, given.power, given.first)
        for part, method in (("anytime", "anytime"), ("horizon", "scan")):
            if part in given.only:
                found[part] = horizons(
                    worlds, given.repeats, given.power, given.first, method, given.draws
                )
        report[name] = found
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "drift.json").write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
