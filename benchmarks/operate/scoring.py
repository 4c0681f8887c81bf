"""How well an atlas tells requests of known intents from others, beside simpler ways.

    python -m benchmarks.operate.scoring [--seeds 0 1 2] [--splits 200] [--encoder FOLDER]
        [--data FOLDER] [--out FOLDER]

clinc150: a small Llama (4 x 128) is trained on 100 intents, a few processor minutes a seed; then
120 - 100 intents that it never saw, and requests outside every intent, are told from test requests
of the 100. The atlas is fitted to training rows, and calibrated on validation rows.

- AUROC by detector, the mean of seeds, 95 % bootstrap over requests: rows inside are drawn anew in
  each seed, rows outside the same ones in all seeds, for they are the same.
- Detected: the share of rows outside that is called so at a false-alarm rate of 5 %.
- Paired: differences of AUROC on the same draws.
- False alarms: validation and test rows that nothing was fitted to, split at random into 700 that
  calibrate and others that are called outside or not; the intents with far more are named.
- A control: the same atlas of the same architecture with weights drawn anew.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.operate.intents import (
    DATA,
    Requests,
    Trained,
    cache_folder,
    logits_of,
    prompts_of,
    trained,
)
from joblib import Parallel, delayed

from nucleate.monitor.atlas import (
    Atlas,
    calibration_error,
    conformal_p,
    fit_model_atlas,
    load_encoder,
    read_vectors,
    text_hash,
)

POSITIONS = ("mean", -2, "last")
DRAWS, CALIBRATION, RATE, FAR_MORE = 1000, 700, 0.05, 0.15
PAIRS = (
    ("states", "max-softmax"), ("states", "energy"), ("states", "surface"), ("both", "states"),
    ("both", "surface"),
)  # fmt: skip


class Seed:
    """One seed: a model, its atlas, and how every row scores by every detector."""

    def __init__(self, seed: int, data: Path, encoder: Any, *, fresh: bool = False) -> None:
        self.requests = Requests.read(seed, data)
        self.trained = trained(self.requests, seed, fresh=fresh)
        self.atlas = _atlas(self.requests, self.trained, seed, fresh, encoder)
        code = self.requests.intent
        self.inside = self.requests.where("test")
        self.valid = self.requests.where("valid")
        self.sets = {"outside every intent": np.flatnonzero(code == -2),
                     "held-out intents": np.flatnonzero(code == -1)}  # fmt: skip
        self.rows = np.concatenate([self.valid, self.inside, *self.sets.values()])
        rows = [self.requests.rows[k] for k in self.rows]
        self.texts = [row["text"] for row in rows]
        prompts = prompts_of(rows, self.trained.tokenizer, self.atlas.position)
        self.vectors = read_vectors(self.atlas, self.trained.model, prompts)
        self.scores = _scores(self.atlas, self.vectors, self.texts)
        logits = logits_of(self.trained, prompts)
        top = logits.max(1, keepdims=True)
        energy = top[:, 0] + np.log(np.exp(logits - top).sum(1))
        self.scores["energy"], self.scores["max-softmax"] = -energy, energy - top[:, 0]
        if encoder is not None:
            self.scores["encoder"] = _encoded(self, encoder)

    def at(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Scores of some rows, by their number in the data."""
        order = np.argsort(self.rows)
        return self.scores[name][order[np.searchsorted(self.rows, rows, sorter=order)]]


def _atlas(requests: Requests, found: Trained, seed: int, fresh: bool, encoder: Any) -> Atlas:
    folder = cache_folder() / f"clinc-{seed}" / ("atlas-fresh" if fresh else "atlas")
    rows = [requests.rows[k] for k in requests.where("train", "valid")]
    prompts = prompts_of(rows, found.tokenizer, POSITIONS)
    atlas = fit_model_atlas(found.model, prompts, seed=seed, encoder=encoder)
    atlas.save(folder)
    return atlas


def _scores(atlas: Atlas, vectors: np.ndarray, texts: list[str]) -> dict[str, np.ndarray]:
    """How unusual each row is, by every way that an atlas has."""
    states, words = atlas.look(vectors).unusual, atlas.look_at_words(texts).unusual
    white = atlas.whiten(vectors)
    nearest = atlas.geometry.squared_distances(white).min(1).astype(float)
    return {
        "states": states,
        "Mahalanobis": nearest,
        "relative Mahalanobis": nearest - atlas.geometry.background_distances(white),
        "surface": words,
        "both": atlas.calibration.added(states, words),
    }


def _encoded(self: Seed, encoder: Any) -> np.ndarray:
    """Whitened nearest neighbors of a sentence encoder's vectors, among the same training rows."""
    from nucleate.monitor.atlas import fit_atlas

    fit = self.requests.where("train", "valid")
    texts = [self.requests.rows[k]["text"] for k in fit]
    labels = [self.requests.rows[k]["task"] for k in fit]
    seen = [t for t, k in zip(texts, fit, strict=True) if self.requests.rows[k]["split"] == "train"]
    other = fit_atlas(encoder(texts), labels, texts, trained_texts=seen)
    return other.look(encoder(self.texts)).unusual


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """Share of pairs in which the row outside is the more unusual, ties half."""
    ordered = np.sort(inside)
    below = np.searchsorted(ordered, outside, side="left")
    up_to = np.searchsorted(ordered, outside, side="right")
    return float((below + up_to).mean() / (2 * len(inside)))


def areas(seeds: list[Seed], name: str, rng_seed: int = 0) -> dict[str, np.ndarray]:
    """Mean AUROC over seeds of every detector: first the value, then bootstrap draws."""
    rng = np.random.default_rng(rng_seed)
    tables = []
    for seed in seeds:
        inside = {each: seed.at(each, seed.inside) for each in seed.scores}
        tables.append((inside, {each: seed.at(each, seed.sets[name]) for each in seed.scores}))
    found: dict[str, list[float]] = {}
    for draw in range(DRAWS + 1):
        same: np.ndarray | None = None
        sums: dict[str, list[float]] = {}
        for inside, outside in tables:
            count = len(outside["states"])
            if same is None or name == "held-out intents":
                same = rng.integers(0, count, count) if draw else np.arange(count)
            rows = len(inside["states"])
            drawn = rng.integers(0, rows, rows) if draw else np.arange(rows)
            for each in inside:
                sums.setdefault(each, []).append(auroc(inside[each][drawn], outside[each][same]))
        for each, values in sums.items():
            found.setdefault(each, []).append(float(np.mean(values)))
    return {each: np.array(values) for each, values in found.items()}


def detected(seeds: list[Seed], name: str, detector: str) -> float:
    """Share called outside at the rate, calibrated on rows that no detector was made from."""
    shares = []
    for seed in seeds:
        calibration = np.sort(seed.at(detector, unfitted(seed)[0]))
        p = conformal_p(seed.at(detector, seed.sets[name]), calibration)
        shares.append(float((p <= RATE).mean()))
    return float(np.mean(shares))


def unfitted(seed: Seed) -> tuple[np.ndarray, np.ndarray]:
    """Validation rows that nothing of the atlas was made from, and these with the test rows."""
    kept = set(seed.atlas.reference.hashes)
    own = [text_hash(seed.requests.rows[k]["text"]) in kept for k in seed.valid]
    clean = seed.valid[np.array(own)]
    return clean, np.concatenate([clean, seed.inside])


def false_alarms(seed: Seed, detector: str, splits: int) -> dict[str, Any]:
    """Rates of false alarms over random splits, and by intent."""
    rows = unfitted(seed)[1]
    values, code = seed.at(detector, rows), seed.requests.intent[rows]
    rng = np.random.default_rng(0)
    rates, alarms, times = [], np.zeros(code.max() + 1), np.zeros(code.max() + 1)
    for _ in range(splits):
        order = rng.permutation(len(rows))
        calibration, rest = order[:CALIBRATION], order[CALIBRATION:]
        called = conformal_p(values[rest], np.sort(values[calibration])) <= RATE
        rates.append(called.mean())
        np.add.at(alarms, code[rest], called)
        np.add.at(times, code[rest], 1)
    by_intent = alarms / np.maximum(times, 1)
    worst = np.argsort(-by_intent)
    return {
        "mean": float(np.mean(rates)),
        "error": float(np.std(rates) / np.sqrt(splits)),
        "splits": [float(x) for x in np.quantile(rates, [0.025, 0.975])],
        "far_more": {
            seed.requests.intents[k]: [round(float(by_intent[k]), 2), int((code == k).sum())]
            for k in worst if by_intent[k] > FAR_MORE
        },
        "rows": len(rows),
    }  # fmt: skip


def interval(draws: np.ndarray) -> list[float]:
    return [float(draws[0]), *(float(x) for x in np.quantile(draws[1:], [0.025, 0.975]))]


def told(value: list[float], sign: str = "") -> str:
    return f"{value[0]:{sign}.3f} [{value[1]:{sign}.3f}, {value[2]:{sign}.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--encoder", help="folder of a sentence encoder, printed beside")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="folder of scoring.json")
    given = parser.parse_args()
    encoder = None if given.encoder is None else load_encoder(given.encoder)
    # A process a seed, and one for the control.
    asked = [(seed, False) for seed in given.seeds] + [(given.seeds[0], True)]
    *seeds, control = Parallel(n_jobs=given.jobs)(
        delayed(Seed)(seed, given.data, None if fresh else encoder, fresh=fresh)
        for seed, fresh in asked
    )
    report: dict[str, Any] = {"seeds": given.seeds, "auroc": {}, "paired": {}, "false_alarms": {}}
    for number, seed in zip(given.seeds, seeds, strict=True):
        _describe(number, seed)
    for name in seeds[0].sets:
        draws = areas(seeds, name)
        rows = ", ".join(str(len(seed.sets[name])) for seed in seeds)
        inside = ", ".join(str(len(seed.inside)) for seed in seeds)
        print(f"\n{name} ({rows} rows; inside {inside}): AUROC, detected at 5 %")
        report["auroc"][name], report["paired"][name] = {}, {}
        for detector, values in sorted(draws.items(), key=lambda item: -item[1][0]):
            share = detected(seeds, name, detector)
            each = [auroc(s.at(detector, s.inside), s.at(detector, s.sets[name])) for s in seeds]
            report["auroc"][name][detector] = [*interval(values), share]
            print(f"  {detector:22} {told(interval(values))}  {share:.2f}   seeds "
                  + " ".join(f"{value:.3f}" for value in each))  # fmt: skip
        for one, other in PAIRS:
            paired = interval(draws[one] - draws[other])
            report["paired"][name][f"{one} - {other}"] = paired
            print(f"  {one} - {other}: {told(paired, '+')}")
    print(f"\nfalse alarms at 5 %, {given.splits} splits of {CALIBRATION} calibration rows")
    for detector in ("states", "surface", "both"):
        for number, seed in zip(given.seeds, seeds, strict=True):
            found = false_alarms(seed, detector, given.splits)
            report["false_alarms"][f"{detector}, seed {number}"] = found
            low, high = found["splits"]
            print(
                f"  {detector}, seed {number}: mean {found['mean']:.4f} (s.e. "
                f"{found['error']:.4f}), splits [{low:.3f}, {high:.3f}], {found['rows']} rows; "
                f"above {FAR_MORE}: {len(found['far_more'])} intents {found['far_more']}"
            )
    print("\nweights drawn anew (control)")
    _describe(given.seeds[0], control)
    report["control"] = control.atlas.settings["detectors"]
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "scoring.json").write_text(json.dumps(report, indent=2))


def _describe(number: int, seed: Seed) -> None:
    atlas, tried = seed.atlas, seed.atlas.settings["detectors"]
    scores = atlas.score(seed.vectors, seed.texts)
    own = np.isin(seed.rows, seed.inside)
    names = np.array(atlas.clusters)[scores.cluster[own]]
    right = names == np.array([seed.requests.rows[k]["task"] for k in seed.rows[own]])
    error = calibration_error(scores.probability[own], right.astype(float))
    place = atlas.settings["place"]["accuracy"]
    print(f"\nseed {number}: model right in {seed.trained.accuracy:.3f} of held-out rows "
          f"({seed.trained.seconds:.0f} CPU s); atlas at {atlas.stream} @ {atlas.position}, "
          f"nearest cluster right in {right.mean():.3f} of {own.sum()} test rows, "
          f"ECE {told(list(error))}, "
          f"{len(atlas.settings['subclusters'])} clusters of several clouds")  # fmt: skip
    print("  places:", {name: round(value, 3) for name, value in place.items()})
    print(f"  detectors ({tried['outside_are']}, {tried['inside']} rows):",
          {name: told(value) for name, value in tried["auroc"].items()})  # fmt: skip
    print(f"  in use: {tried['in_use']} ({tried['state']}): {tried['why']}")
    print("  gains:", {name: told(value, "+") for name, value in tried["gain"].items()})


if __name__ == "__main__":
    main()
