import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from nucleate._core.errors import BadInput
from nucleate.metrics import standardize
from nucleate.metrics.clusters._kmeans import kmeans
from nucleate.metrics.clusters._streaming import kmeans_streaming


def blobs(rows=3000, k=8, width=12, spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centers = 2 * torch.randn(k, width, generator=generator)
    labels = torch.arange(rows) % k
    return centers[labels] + spread * torch.randn(rows, width, generator=generator), labels


@pytest.fixture
def saved(tmp_path):
    def save(*parts, name="states"):
        paths = [tmp_path / f"{index}.safetensors" for index in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            save_file({name: part.contiguous(), "other": torch.zeros(3)}, path)
        return paths

    return save


def test_a_file_in_half_precision_gives_what_memory_gives(saved):
    x, labels = blobs(spread=0.3)
    [path] = saved(x.half())
    found = kmeans_streaming(path, 8, tensor="states", chunk_rows=700)
    whole = kmeans(x.half()[None], 8)
    assert adjusted_rand_score(labels, found.labels) == 1
    assert adjusted_rand_score(whole.labels[0], found.labels) == 1
    assert found.inertia == pytest.approx(float(whole.inertia[0]), rel=1e-5)
    assert found.labels.dtype == torch.int32
    assert found.converged


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_inertia_is_near_that_of_scikit_learn_where_clusters_overlap(spread):
    x, _ = blobs(40_000, spread=spread)
    found = kmeans_streaming(x, 8, chunk_rows=5000)
    theirs = KMeans(8, n_init=3, random_state=0).fit(x.numpy()).inertia_
    assert found.inertia <= theirs * 1.002


@pytest.mark.parametrize("standardized", [False, True])
def test_chunks_of_any_size_give_the_same(standardized):
    x, _ = blobs(spread=1.5)
    one, *others = (
        kmeans_streaming(x, 8, chunk_rows=rows, standardized=standardized)
        for rows in (3000, 1000, 333, 7)
    )
    for other in others:
        assert other.passes == one.passes
        assert (other.labels != one.labels).sum() <= 2
        assert other.inertia == pytest.approx(one.inertia, rel=1e-5)
        assert torch.allclose(other.centroids, one.centroids, atol=1e-3)


def test_the_same_call_gives_the_same_bits():
    x, _ = blobs(spread=1.5)
    first, second = (kmeans_streaming(x, 8, chunk_rows=500) for _ in range(2))
    assert torch.equal(first.labels, second.labels)
    assert torch.equal(first.centroids, second.centroids)
    assert first.inertia == second.inertia


def test_rows_of_several_files_follow_one_another(saved):
    x, _ = blobs(spread=0.5)
    paths = saved(x[:1000], x[1000:1001], x[1001:])
    found = kmeans_streaming(paths, 8, tensor="states", chunk_rows=600)
    whole = kmeans_streaming(x, 8, chunk_rows=600)
    assert torch.equal(found.labels, whole.labels)


def test_numpy_arrays_are_streamed_too():
    x, labels = blobs(spread=0.2)
    found = kmeans_streaming(x.numpy(), 8, chunk_rows=512)
    assert adjusted_rand_score(labels, found.labels) == 1


def test_labels_inertia_and_centroids_belong_together():
    x, _ = blobs(spread=1.5)
    x = x + 50
    found = kmeans_streaming(x, 8, chunk_rows=512, standardized=True)
    z = (x - found.mean) / found.scale
    distances = torch.cdist(z.double(), found.centroids.double()).square()
    assert torch.equal(distances.argmin(1).int(), found.labels)
    assert found.inertia == pytest.approx(float(distances.amin(1).sum()), rel=1e-5)


def test_z_scores_are_those_of_standardize():
    x, labels = blobs(spread=0.2)
    x[:, 0] *= 1e4
    x[:, 1] = 7.1
    x[:, 2] += 100
    found = kmeans_streaming(x, 8, chunk_rows=450, standardized=True)
    assert torch.allclose((x - found.mean) / found.scale, standardize(x), atol=1e-3)
    assert adjusted_rand_score(labels, found.labels) == 1


def test_clusters_that_lose_all_rows_are_put_elsewhere(monkeypatch):
    x, _ = blobs(spread=0.1)

    def all_at_one_place(sample, k, **options):
        found = kmeans(sample, k, **options)
        found.centroids[:, 1:] = 1e3
        return found

    monkeypatch.setattr("nucleate.metrics.clusters._streaming.kmeans", all_at_one_place)
    found = kmeans_streaming(x, 8, chunk_rows=512)
    assert len(found.labels.unique()) == 8
    assert found.converged


def test_fewer_distinct_rows_than_clusters_end_without_inertia():
    x, _ = blobs(3)
    found = kmeans_streaming(x[torch.arange(600) % 3], 5, chunk_rows=100)
    assert found.inertia < 1e-6
    assert found.converged


def test_passes_end_when_nothing_is_gained():
    x, _ = blobs(spread=3.0)
    assert not kmeans_streaming(x, 8, max_iter=1).converged
    found = kmeans_streaming(x, 8)
    assert found.converged
    assert found.passes < 50


def test_bad_input_is_named(saved, tmp_path):
    x, _ = blobs(20)
    [path] = saved(x)
    with pytest.raises(BadInput, match=r"no tensor 'state'; give tensor= one of .*states"):
        kmeans_streaming(path, 3, tensor="state")
    with pytest.raises(BadInput, match="has shape"):
        kmeans_streaming(path, 3, tensor="other")
    with pytest.raises(BadInput, match="not a file"):
        kmeans_streaming(tmp_path / "none.safetensors", 3, tensor="states")
    (tmp_path / "text.safetensors").write_text("no tensors here, only a sentence or two")
    with pytest.raises(BadInput, match="not a safetensors file"):
        kmeans_streaming(tmp_path / "text.safetensors", 3, tensor="states")
    with pytest.raises(BadInput, match="no file was given"):
        kmeans_streaming([], 3, tensor="states")
    with pytest.raises(BadInput, match="21 clusters of 20 rows"):
        kmeans_streaming(x, 21)
    with pytest.raises(BadInput, match="chunks of 0 rows"):
        kmeans_streaming(x, 3, chunk_rows=0)
    with pytest.raises(BadInput, match=r"shape \[20\]"):
        kmeans_streaming(np.zeros(20), 3)
    x[13, 4] = torch.nan
    with pytest.raises(BadInput, match="row 13 holds NaN"):
        kmeans_streaming(x, 3, chunk_rows=6)


MILLION = """
import json, resource, sys
from nucleate.metrics.clusters._streaming import kmeans_streaming

found = kmeans_streaming(sys.argv[1], 100, tensor="states", max_iter=3)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peak": peak, "rows": len(found.labels), "used": len(found.labels.unique())}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_a_million_rows_stay_within_two_gigabytes(tmp_path):
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(100, 256, generator=generator).half()
    x = torch.empty(1_000_000, 256, dtype=torch.float16)
    for start in range(0, len(x), 50_000):
        noise = torch.randn(50_000, 256, generator=generator).half()
        x[start : start + 50_000] = noise.add_(centers[torch.arange(start, start + 50_000) % 100])
    path = tmp_path / "million.safetensors"
    save_file({"states": x}, path)
    del x
    answer = subprocess.run(
        [sys.executable, "-c", MILLION, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )
    facts = json.loads(answer.stdout)
    assert facts["rows"] == 1_000_000
    assert facts["used"] == 100
    assert facts["peak"] < 2e9
