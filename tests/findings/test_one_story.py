"""Whatever the numbers are, headline, table, sentences, map and dots tell the same of them."""

import re
from collections import Counter
from collections.abc import Iterator

import hypothesis.strategies as st
import numpy as np
import pandas as pd
from hypothesis import given, settings
from matplotlib.collections import PathCollection

from nucleate.findings import (
    cluster_verdict,
    finding,
    judge_places,
    key_numbers,
    overall,
    place_finding,
    words,
)
from nucleate.findings._summary import Clusters, OnsetSummary, Summary, Verdict
from nucleate.intervene import CausalMap
from nucleate.panel import Panel

STREAMS, POSITIONS = ("embed", "block.0", "block.1", "final_norm"), ("instruction_end", "last")
SHARE = st.floats(0, 1).map(lambda x: round(x, 2))
MAYBE = SHARE | st.just(float("nan"))
EXCESSES = ("shift_excess", "erase_excess", "ablate_excess", "patch_excess")
ONSET = OnsetSummary(step=None, low=None, high=None, found=0.0, first_step=0)


COUNT = len(STREAMS) * len(POSITIONS) * 30
NUMBERS = st.lists(MAYBE, min_size=COUNT, max_size=COUNT)


def summary_of(numbers: list[float]) -> Summary:
    """A summary made, as that of a run is, from a panel and a causal map of any numbers."""
    drawn = iter(numbers)
    places = [(s, p) for p in POSITIONS for s in STREAMS]
    panel = Panel(pd.DataFrame([ari_line(drawn, *place) for place in places]), {})
    table = pd.DataFrame([effects(drawn, *place) for place in places])
    judged = judge_places(CausalMap(table, pd.DataFrame()), panel)
    found = [place_finding(row) for row in judged.to_dict("records")]
    clusters = {}
    for position in POSITIONS:
        place = next(p for p in found if p.position == position and p.stream == "block.1")
        clusters[position] = Clusters(
            stream=place.stream, view=place.view, first=0.0, last=place.ari, low=place.low,
            high=place.high, null=place.null, verdict=place.clusters, onset=ONSET,
        )  # fmt: skip
    there, used = overall(clusters.values(), found)
    return Summary(
        name="run", tasks="made up", outputs="own", model="none", seed=0, null=None, steps=1,
        config_hash="0", accuracy={}, accuracy_onset=ONSET, clusters=clusters, places=found,
        embedding_change={}, seconds={}, peak_memory_bytes=0, recording_share=0.0,
        verdict=Verdict(clusters=there, used=used, words=[]),
    )  # fmt: skip


def ari_line(drawn: Iterator[float], stream: str, position: str) -> dict[str, object]:
    numbers = {name: next(drawn) for name in ("low", "n0_q99", "n1_max", "n2")}
    return {
        "step": 3, "stream": stream, "position": position, "view": "raw", "label": "task",
        "metric": "ari", "half": "report", "value": known(drawn), "high": 1.0, "note": "",
        "strings": 40, **numbers,
    }  # fmt: skip


def effects(drawn: Iterator[float], stream: str, position: str) -> dict[str, object]:
    found: dict[str, object] = {
        "stream": stream, "position": position, "shift_strings": 40, "erase_strings": 40,
    }  # fmt: skip
    for name in EXCESSES:
        ends = sorted((known(drawn) - 0.3, known(drawn) - 0.3))
        found |= {f"{name}_low": ends[0], f"{name}_high": ends[1]}
    shares = ("shift", "shift_low", "shift_high", "chance", "random_direction", "wrong_task",
              "mean_shift", "shuffled", "other_input", "erase", "erase_low", "erase_high",
              "random_erase", "displaced", "decodable", "decodable_bar")  # fmt: skip
    return found | {name: known(drawn) for name in shares}


def known(drawn: Iterator[float]) -> float:
    return float(np.nan_to_num(next(drawn)))


@settings(max_examples=100, deadline=None)
@given(numbers=NUMBERS)
def test_headline_key_numbers_sentences_and_map_count_the_same_places(numbers):
    summary = summary_of(numbers)
    counts = Counter(place.verdict for place in summary.places)
    there = [place for place in summary.places if place.clusters == "clusters"]
    head, told, table = finding(summary), " ".join(words(summary)[1:]), key_numbers(summary)
    assert f"at {len(there) or 'none'} of 8 places" in head
    assert table["places with task clusters"] == f"{len(there)} of 8"
    for verdict, said in (
        ("used", "Used"),
        ("used without clusters", "Used without clusters"),
        ("present but not used", "Present but not used"),
        ("undecided", "Undecided whether used"),
    ):
        found = re.findall(rf"\b{said} at (\d+) of the 8", told)
        assert found == ([str(counts[verdict])] if counts[verdict] else []), (verdict, told)
    if there:
        read = sum(place.verdict == "used" for place in there)
        assert f"at {read} of these the answers depend on the groups" in head
        assert f"at {counts['present but not used']} they do not" in head
        assert table["of these used / not used"] == f"{read} / {counts['present but not used']}"


@settings(max_examples=100, deadline=None)
@given(numbers=NUMBERS)
def test_the_run_is_called_used_exactly_where_a_place_is(numbers):
    summary = summary_of(numbers)
    used = any(place.verdict in ("used", "used without clusters") for place in summary.places)
    assert (summary.verdict.used == "used") == used
    claims = r"answers depend on (?:the task|the groups) at [1-9]|at [1-9]\d* of these the answers"
    assert bool(re.search(claims, finding(summary))) == used
    for place in summary.places:
        if place.verdict == "used without clusters":
            assert place.clusters == "none"


@settings(max_examples=100, deadline=None)
@given(numbers=NUMBERS)
def test_a_null_that_is_missing_never_makes_clusters(numbers):
    summary = summary_of(numbers)
    for place in summary.places:
        bars = (place.null.n0, place.null.n1, place.null.n2)
        if place.clusters == "clusters":
            assert None not in (*bars, place.low)
            assert min(place.ari, place.low) > max(bars)


def test_dots_of_the_heat_map_mark_exactly_what_is_not_called_clusters(make_view):
    from nucleate import views

    run = make_view("own", "own")
    figure = views.heat_map(run, "last")
    dots = next(c for c in figure.axes[0].collections if isinstance(c, PathCollection))
    rows = run.numbers("last", run.headline_view("last"))
    rows = rows[rows["value"].notna()]
    called = sum(cluster_verdict(row) != "clusters" for _, row in rows.iterrows())
    assert len(np.unique(np.asarray(dots.get_offsets()), axis=0)) == called
    last = rows[rows["step"] == rows["step"].max()].set_index("stream")
    for place in run.summary.places:
        if place.position == "last":
            assert cluster_verdict(last.loc[place.stream]) == place.clusters
