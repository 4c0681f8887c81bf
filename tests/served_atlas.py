"""A small atlas in a folder, and the service that serves it, in this process."""

from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from nucleate.monitor.atlas import Atlas, fit_atlas
from nucleate.monitor.service import Service, Sources, make_app

WIDTH = 12
CLUSTERS = ("book", "cancel", "weather")
TOKEN = "a-token-of-enough-characters"


def vectors_of(per_cluster: int, *, seed: int, width: int = WIDTH) -> np.ndarray:
    """Rows around one center a cluster, cluster by cluster."""
    centers = np.random.default_rng(7).normal(size=(len(CLUSTERS), width)) * 4
    noise = np.random.default_rng(seed).normal(size=(len(CLUSTERS), per_cluster, width))
    return (centers[:, None] + noise).reshape(-1, width).astype(np.float32)


def make_atlas(
    folder: Path, *, names: tuple[str, ...] = CLUSTERS, seed: int = 0, width: int = WIDTH,
    per_cluster: int = 120,
    **options: Any,
) -> Atlas:  # fmt: skip
    """Fit an atlas and write it."""
    vectors = vectors_of(per_cluster, seed=seed, width=width)
    labels = [name for name in names for _ in range(per_cluster)]
    texts = [f"{name} wording {row} of {seed}" for row, name in enumerate(labels)]
    atlas = fit_atlas(vectors, labels, texts, **options)
    atlas.save(folder)
    return atlas


def client_of(service: Service, **options: Any) -> TestClient:
    """A client that is told of errors as a real one: by the answer."""
    app = make_app(service, **options)
    return TestClient(app, raise_server_exceptions=False)


def service_of(folder: Path, **options: Any) -> Service:
    """A service of the atlas in a folder."""
    sources = {name: options.pop(name) for name in ("gate", "drift_state") if name in options}
    return Service(Sources(folder, **sources), **options)


def packed(vectors: np.ndarray) -> dict[str, Any]:
    """A request with a binary body."""
    return {
        "content": vectors.astype("<f4").tobytes(),
        "headers": {
            "content-type": "application/octet-stream",
            "x-nucleate-width": str(vectors.shape[1]),
        },
    }


def listed(vectors: np.ndarray, texts: list[str] | None = None) -> dict[str, Any]:
    """The same rows as JSON."""
    rows: list[dict[str, Any]] = [{"vector": each.tolist()} for each in vectors]
    for row, text in zip(rows, texts or [], strict=False):
        row["text"] = text
    return {"json": {"rows": rows}}
