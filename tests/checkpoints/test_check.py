"""A series that cannot be trusted is flagged, and a sound one is not."""

import json
import re
import shutil
import weakref
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from nucleate import BadInput
from nucleate.checkpoints import _rules as rules
from nucleate.checkpoints import _scan as _series_scan
from nucleate.checkpoints import _weights as _weights
from nucleate.checkpoints._check import check_series
from nucleate.checkpoints._scan import SAMPLED, scan
from nucleate.checkpoints._series import Checkpoint, Series
from small import model
from trained import LINEAR, LOG, adam, tiny, trained, weights


def blend(folder: Path, a: int, b: int, share: float, into: int) -> None:
    """Weights between those of two checkpoints, served on a third."""
    first, second = load_file(weights(folder, a)), load_file(weights(folder, b))
    mixed = {name: first[name].lerp(second[name], share) for name in first}
    save_file(mixed, weights(folder, into), metadata={"format": "pt"})


def flags(folder: Path) -> dict[str, list[tuple[int, ...]]]:
    found: dict[str, list[tuple[int, ...]]] = {}
    for flag in check_series(Series.find(folder)).flags:
        found.setdefault(flag.kind, []).append(flag.steps)
    return found


# -- sound trainings raise no flag


def test_a_sound_series_is_not_flagged_and_its_hashes_are_those_of_its_tensors(sound):
    progress = []
    report = check_series(Series.find(sound), progress=lambda *of: progress.append(of))
    assert report.ok, report.flags
    assert progress[-1][0] == progress[-1][1] == sum(p.stat().st_size for p in sound.rglob("m*.s*"))
    assert progress == sorted(progress)
    assert len({one.sha256 for one in report.checkpoints}) == len(report.checkpoints)
    first, second = (load_file(weights(sound, step)) for step in (0, 1))
    exact = torch.cat([(second[k] - first[k]).double().flatten() for k in first]).norm().item()
    assert report.checkpoints[1].moved == pytest.approx(exact, rel=1e-9)
    norm = torch.cat([v.double().flatten() for v in second.values()]).norm().item()
    assert report.checkpoints[1].norm == pytest.approx(norm, rel=1e-12)
    assert report.checkpoints[0].moved is None
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


@pytest.mark.parametrize(
    ("steps", "make", "dtype"),
    [
        # each stands for a way in which weights can move
        (range(0, 401, 25), lambda p: torch.optim.SGD(p, lr=0.5), None),  # a plateau of noise
        ((0, *(2**k for k in range(9))), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), None),
        (range(12), lambda p: torch.optim.AdamW(p, lr=1e-2), None),  # every step
        ((0, *(2**k for k in range(8))), lambda p: torch.optim.AdamW(p, lr=1e-5), torch.float16),
        (range(0, 301, 20), lambda p: torch.optim.AdamW(p, lr=1e-3), torch.bfloat16),
        (range(0, 301, 20), lambda p: torch.optim.AdamW(p, lr=3e-3, weight_decay=1.0), None),
        ((100, 200, 300, 303), lambda p: torch.optim.AdamW(p, lr=1e-3), None),  # a last save
    ],
    ids=["plateau", "log", "each-step", "half-slow", "bfloat16", "decay", "last-save"],
)  # fmt: skip
def test_sound_trainings_of_many_kinds_raise_no_flag(tmp_path, steps, make, dtype):
    report = check_series(Series.find(trained(tmp_path, set(steps), make, dtype=dtype)))
    assert report.ok, report.flags


def walk(random, kind: str, count: int) -> np.ndarray:
    if kind == "noise":
        return random.normal(size=(count, 400))
    steps = random.normal(size=(count, 400)) * random.uniform(0.5, 2, size=(count, 1))
    return np.cumsum(steps + 3 * (kind == "drift"), 0)


def between(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["noise", "walk", "drift"]), st.integers(3, 30), st.integers(0, 10**6)
)  # fmt: skip
def test_noise_walks_and_drifts_are_never_called_misplaced(kind, count, seed):
    far = between(walk(np.random.default_rng(seed), kind, count))
    assert rules.misplaced(far, range(count)) == []
    assert rules.fast_ends(far, [100 * k for k in range(count)], range(count)) == []


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["walk", "drift"]), st.integers(9, 30), st.data())
def test_one_checkpoint_from_the_end_is_found_wherever_it_is_served(kind, count, data):
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    points = walk(random, kind, count)
    at = data.draw(st.integers(0, count // 3))
    points[at] = points[-1] + 0.1 * random.normal(size=400)
    found = {k for one in rules.misplaced(between(points), range(count)) for k in one.members}
    assert at in found
    assert len(found) <= 2


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["walk", "drift"]), st.integers(6, 30), st.data())
def test_neighbors_in_the_wrong_order_are_found(kind, count, data):
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    steps = random.normal(size=(count, 400))
    points = np.cumsum(steps + 3 * (kind == "drift"), 0)
    at = data.draw(st.integers(1, count - 3))
    points[[at, at + 1]] = points[[at + 1, at]]
    (stretch,) = rules.misplaced(between(points), range(count))
    assert (stretch.members, stretch.sign) == ((at, at + 1), "swapped")


# -- and traps spring


def test_the_first_two_steps_alike_are_duplicates(copied):
    shutil.copy(weights(copied, 0), weights(copied, 1))
    assert flags(copied) == {"duplicate": [(0, 1)]}


def test_final_weights_on_early_steps_are_duplicates_and_jumps(copied):
    for step in (1, 8):
        shutil.copy(weights(copied, 400), weights(copied, step))
    found = flags(copied)
    assert found.pop("duplicate") == [(1, 8, 400)]
    assert sorted(found.pop("jump")) == [(1,), (8,)]
    assert not found


def test_weights_of_the_last_era_on_early_steps_are_jumps_though_equal_to_none(copied):
    blend(copied, 350, 400, 0.4, into=0)
    blend(copied, 350, 400, 0.5, into=4)
    blend(copied, 350, 400, 0.6, into=8)
    assert {step for steps in flags(copied)["jump"] for step in steps} == {0, 4, 8}


def test_early_weights_on_the_last_step_are_a_jump(copied):
    blend(copied, 0, 1, 0.5, into=400)
    assert flags(copied) == {"jump": [(400,)]}


def test_weights_of_another_model_are_a_jump(copied):
    tiny(seed=9).save_pretrained(copied / "checkpoint-150")
    assert flags(copied) == {"jump": [(150,)]}


def test_scaled_weights_are_a_jump(copied):
    tensors = {name: 4 * value for name, value in load_file(weights(copied, 32)).items()}
    save_file(tensors, weights(copied, 32), metadata={"format": "pt"})
    assert (32,) in flags(copied)["jump"]


@pytest.mark.parametrize(
    ("a", "b"), [*pairwise((*LOG, *LINEAR)), (2, 8), (0, 64), (64, 150), (1, 400), (200, 350)]
)
def test_two_swapped_checkpoints_are_out_of_order(copied, a, b):
    first, second = copied / f"checkpoint-{a}", copied / f"checkpoint-{b}"
    first.rename(copied / "aside")
    second.rename(first)
    (copied / "aside").rename(second)
    assert flags(copied) == {"out_of_order": [(a, b)]}


@pytest.fixture(scope="module")
def distances(sound, tmp_path_factory) -> list[np.ndarray]:
    """Between checkpoints of two real trainings; of one the steps are even."""
    even = trained(tmp_path_factory.mktemp("even"), set(range(0, 201, 20)), adam)
    return [scan(Series.find(one), lambda *_: None).distances for one in (sound, even)]


def named(far: np.ndarray, order: np.ndarray) -> list[tuple[tuple[int, ...], str]]:
    found = rules.misplaced(far[np.ix_(order, order)], range(len(far)))
    return [(one.members, one.sign) for one in found]


def test_whichever_two_checkpoints_are_swapped_these_are_named(distances):
    for far in distances:
        for pair in combinations(range(len(far)), 2):
            order = np.arange(len(far))
            order[list(pair)] = order[list(pair)][::-1]
            assert named(far, order) == [(pair, "swapped")]


def test_three_that_took_each_others_places_and_two_pairs_are_named(distances):
    random, right = np.random.default_rng(0), 0
    for far in distances * 50:
        a, b, c, d = random.permutation(len(far))[:4].tolist()
        order = np.arange(len(far))
        order[[a, b, c]] = order[[b, c, a]]
        right += named(far, order) == [(tuple(sorted((a, b, c))), "swapped")]
        order = np.arange(len(far))
        order[[a, b, c, d]] = order[[b, a, d, c]]
        pairs = {tuple(sorted((a, b))), tuple(sorted((c, d)))}
        right += {members for members, _ in named(far, order)} == pairs
    assert right >= 180  # of 200


def test_a_checkpoint_from_elsewhere_is_not_taken_for_a_swap(distances):
    for far in distances:
        last = len(far) - 1
        for place in range(1, last - 1):
            other = far.copy()  # of another model: as far from all as it is from nothing
            other[place, :] = other[:, place] = 10 * far.max()
            other[place, place] = 0
            ((members, sign),) = named(other, np.arange(len(far)))
            assert (members, sign) == ((place,), "far")


def test_a_name_that_the_trainers_state_contradicts_is_out_of_order(copied):
    for step in (*LOG, *LINEAR):
        state = {"global_step": 2 if step == 4 else step}
        (copied / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(state))
    assert flags(copied) == {"out_of_order": [(4,)]}


def test_a_step_that_occurs_twice_is_out_of_order(copied, tmp_path):
    shutil.copytree(copied / "checkpoint-64", tmp_path / "step64")
    series = Series.find([*copied.iterdir(), tmp_path / "step64"])
    kinds = {(flag.kind, flag.steps) for flag in check_series(series).flags}
    assert ("out_of_order", (64,)) in kinds
    assert ("duplicate", (64, 64)) in kinds


def test_one_shard_of_the_end_in_an_early_step_is_partly_a_duplicate(tmp_path):
    folder = trained(tmp_path, {*LOG, *LINEAR}, adam, shard="8KB")
    assert flags(folder) == {}
    shards = sorted(p.name for p in (folder / "checkpoint-400").glob("*.safetensors"))
    assert len(shards) > 2
    shutil.copy(folder / "checkpoint-400" / shards[0], folder / "checkpoint-8" / shards[0])
    report = check_series(Series.find(folder))
    partly = [flag for flag in report.flags if flag.kind == "partly_duplicate"]
    assert [flag.steps for flag in partly] == [(8, 400)]
    with_it = load_file(folder / "checkpoint-8" / shards[0])
    assert f"share {len(with_it)} of 21 tensors" in partly[0].sentence
    (folder / "checkpoint-16" / shards[1]).unlink()
    assert ("missing", (16,)) in {
        (f.kind, f.steps) for f in check_series(Series.find(folder)).flags
    }
    with pytest.raises(BadInput, match=shards[1]):
        Checkpoint.find(folder / "checkpoint-16").load()


def test_frozen_and_later_thawed_weights_are_no_duplicates(tmp_path):
    def thawing(parameters):
        chosen = list(parameters)
        for parameter in chosen[:8]:
            parameter.requires_grad_(False)
        optimizer = torch.optim.AdamW(chosen, lr=1e-3)
        steps = iter(range(1000))

        def thaw(*_: object) -> None:
            if next(steps) == 100:
                for parameter in chosen[3:8]:
                    parameter.requires_grad_(True)

        optimizer.register_step_post_hook(thaw)
        return optimizer

    assert flags(trained(tmp_path, set(range(0, 201, 20)), thawing)) == {}


def test_missing_steps_weights_and_tensors_are_named(copied):
    for step in (4, 200):
        shutil.rmtree(copied / f"checkpoint-{step}")
    assert flags(copied) == {"missing": [(4,), (200,)]}
    weights(copied, 300).unlink()
    tensors = load_file(weights(copied, 350))
    del tensors["lm_head.weight"]
    save_file(tensors, weights(copied, 350))
    report = check_series(Series.find(copied))
    assert {flag.steps for flag in report.flags} == {(4,), (200,), (300,), (350,)}
    assert "model.safetensors" in report.flags_of(300)[0].sentence
    assert "lm_head.weight" in report.flags_of(350)[0].sentence
    assert {one.step for one in report.checkpoints if one.sha256 is None} == {300, 350}


def test_values_that_are_not_finite_are_named(copied):
    for step, value in ((16, float("nan")), (100, float("inf"))):
        tensors = load_file(weights(copied, step))
        tensors["model.norm.weight"][3] = value
        save_file(tensors, weights(copied, step), metadata={"format": "pt"})
    report = check_series(Series.find(copied))
    assert [(flag.kind, flag.steps) for flag in report.flags] == [
        ("not_finite", (16,)),
        ("not_finite", (100,)),
    ]
    assert "model.norm.weight" in report.flags[0].sentence
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_checkpoint_of_another_model_is_named_and_two_models_are_refused(copied):
    model().save_pretrained(copied / "checkpoint-500")
    report = check_series(Series.find(copied))
    assert [(flag.kind, flag.steps) for flag in report.flags] == [("other_model", (500,))]
    assert "is of another model: " in report.flags[0].sentence
    assert all(one.moved is not None for one in report.checkpoints[1:-1])
    pair = [copied / "checkpoint-400", copied / "checkpoint-500"]
    with pytest.raises(BadInput, match="give checkpoints of one model"):
        check_series(Series.find(pair))


def damage(how: str, folder: Path) -> None:
    file = folder / "model.safetensors"
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "pointer":
        file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    elif how == "pickle":
        torch.save(load_file(file), folder / "pytorch_model.bin")
        file.unlink()
    elif how == "folder":
        file.unlink()
        file.mkdir()
    elif how == "index":
        (folder / "model.safetensors.index.json").write_text("{")
        file.unlink()
    elif how == "state":
        (folder / "trainer_state.json").write_text('{"global_step": ')
    elif how == "optimizer":
        (folder / "optimizer.pt").write_bytes(b"x")
        file.unlink()
    elif how == "nothing":
        shutil.rmtree(folder)
        folder.mkdir()
    elif how == "config":
        (folder / "config.json").unlink()
    elif how == "adapter":
        save_file({"lora_A.weight": torch.zeros(2, 16)}, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text("{}")
        file.unlink()
    elif how == "unindexed":
        tiny().save_pretrained(folder, max_shard_size="8KB")
        (folder / "model.safetensors.index.json").unlink()
        file.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("cut", "unreadable", "model.safetensors is damaged and cannot be read"),
        ("empty", "unreadable", "model.safetensors is damaged and cannot be read"),
        ("pointer", "unreadable", "a pointer of Git LFS, and the weights were never fetched"),
        ("pickle", "unreadable", r"as a pickle only .*--allow-pickle"),
        ("folder", "unreadable", "is damaged and cannot be read"),
        ("index", "unreadable", "index.json is damaged"),
        ("state", "unreadable", "trainer_state.json is damaged"),
        ("optimizer", "missing", "lacks model.safetensors; there is optimizer.pt, which is no mod"),
        ("nothing", "missing", "lacks model.safetensors$"),
        ("config", "missing", "lacks config.json, without which no model can be loaded"),
        ("adapter", "other_model", "has none of the 21 tensors of .*checkpoint-0"),
        ("unindexed", "missing", "lacks model.safetensors; . shards are there, and no index"),
    ],
)  # fmt: skip
def test_one_bad_checkpoint_is_named_and_hides_no_other(copied, how, kind, said):
    before = check_series(Series.find(copied))
    damage(how, copied / "checkpoint-32")
    report = check_series(Series.find(copied))
    (flag,) = report.flags
    assert (flag.kind, flag.steps) == (kind, (32,))
    assert re.search(said, flag.sentence)
    others = [one for one in report.checkpoints if one.step != 32]
    assert [one.sha256 for one in others] == [
        one.sha256 for one in before.checkpoints if one.step != 32
    ]
    json.dumps(report.to_dict(), allow_nan=False)


def test_faults_of_others_are_found_beside_a_bad_checkpoint(copied):
    damage("cut", copied / "checkpoint-8")
    shutil.copy(weights(copied, 350), weights(copied, 100))
    found = flags(copied)
    assert found["unreadable"] == [(8,)]
    assert found["duplicate"] == [(100, 350)]
    assert (100,) in found["jump"]


def test_a_config_that_no_checkpoint_has_is_said_once(copied):
    for folder in copied.iterdir():
        (folder / "config.json").unlink()
    (flag,) = check_series(Series.find(copied)).flags
    assert flag.steps == (*LOG, *LINEAR)
    assert "and 11 more lack config.json" in flag.sentence


def test_what_is_no_fault_is_noted(copied):
    notes = check_series(Series.find(copied)).notes
    assert len(notes) == 1
    assert "no tokenizer stands beside" in notes[0]
    (copied / "tokenizer.json").write_text("{}")
    config = copied / "checkpoint-64" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rms_norm_eps": 0.1}))
    report = check_series(Series.find(copied))
    assert report.ok
    assert [note for note in report.notes if "rms_norm_eps: 0.1, 1e-06" in note]


def test_branches_of_one_stage_are_no_series(copied):
    names = {"checkpoint-300": "stage2-ingredient1-step10",
             "checkpoint-350": "stage2-ingredient2-step10"}  # fmt: skip
    for old, new in names.items():
        (copied / old).rename(copied / new)
    found = check_series(Series.find([copied / "checkpoint-250", *(copied / n for n in
                                      names.values())]))  # fmt: skip
    assert [flag.steps for flag in found.flags if "2 branches" in flag.sentence] == [(260, 270)]


@pytest.mark.parametrize(
    ("steps", "missing"),
    [
        (range(0, 1001, 100), []),
        ([*range(0, 500, 100), *range(600, 1001, 100)], [(500,)]),
        ([0, 1, 2, 4, 8, 32, 64, 128], [(16,)]),
        ([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1000, 9000, 1000)], []),
        ([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000, 3000, 6000, 7000, 8000],
         [(4000, 5000)]),
        ([*range(0, 1000, 100), *range(1000, 6000, 1000)], []),  # another regime
        ([500, 1000, 1500, 2000, 3000], []),  # nothing after tells that the end was regular
        ([500, 1000, 1500, 1503], []),
        ([0, 1, 2, 3, 5, 8, 12, 19, 30, 46, 72, 112, 175], []),
        ([5], []),
        ([], []),
    ],
)  # fmt: skip
def test_gaps_are_missing_steps_of_otherwise_regular_spacing(steps, missing):
    assert rules.gaps(list(steps)) == missing


def test_distances_of_large_tensors_are_estimated_within_a_few_percent(tmp_path):
    size = 40 * SAMPLED
    for step in range(3):
        folder = tmp_path / f"step{step}"
        folder.mkdir()
        random = torch.Generator().manual_seed(step)
        rows = {f"t{k}": torch.randn(size, generator=random) * (k + 1) for k in range(4)}
        save_file(rows, folder / "model.safetensors")
    found = scan(Series.find(tmp_path), lambda *_: None)
    a, b = (load_file(tmp_path / f"step{step}" / "model.safetensors") for step in (0, 2))
    exact = sum((a[k].double() - b[k].double()).square().sum().item() for k in a) ** 0.5
    assert found.distances[0, 2] == pytest.approx(exact, rel=0.02)
    assert found.distances[0, 2] != pytest.approx(exact, rel=1e-9)  # else this tests nothing


def test_a_check_holds_one_tensor_at_a_time(sound, monkeypatch):
    alive: list[weakref.ref] = []
    most = 0

    def watched(path: Path) -> _weights.WeightFile:
        file = _weights.open_weights(path)

        def read(name: str) -> torch.Tensor:
            nonlocal most
            tensor = file.read(name)
            alive.append(weakref.ref(tensor))
            most = max(most, sum(one() is not None for one in alive[-50:]))
            return tensor

        return _weights.WeightFile(file.shapes, read)

    monkeypatch.setattr(_series_scan, "open_weights", watched)
    scan(Series.find(sound), lambda *_: None)
    assert len(alive) == 21 * len((*LOG, *LINEAR))  # each once
    assert most <= 2  # the one before goes when the next has come


def test_a_check_takes_the_memory_of_a_few_tensors_not_of_a_checkpoint(tmp_path):
    size = 1 << 20
    for step in range(3):
        folder = tmp_path / f"step{step}"
        folder.mkdir()
        rows = {f"t{k}": torch.full((size,), float(step + k)) for k in range(16)}
        save_file(rows, folder / "model.safetensors")
    del rows
    process = psutil.Process()
    scan(Series.find(tmp_path / "step0"), lambda *_: None)  # what the first pass brings in once
    before, seen = process.memory_full_info().uss, []
    scan(Series.find(tmp_path), lambda *_: seen.append(process.memory_full_info().uss))
    assert max(seen) - before < 5 * 4 * size  # a checkpoint is 16 tensors, the series 48
