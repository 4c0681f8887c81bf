"""Plots of a run: one call from its folder to a figure."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from exportable import STEPS, make_run
from nucleate import BadInput, Run, causal_map
from nucleate.findings import findings
from nucleate.runs import write_json
from nucleate.studies import resolve
from nucleate.views import plot_accuracy, plot_causal_map, plot_clusters, plot_heat_map
from small import model


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    made = make_run(tmp_path_factory.mktemp("runs") / "mine")
    causal_map(model(seed=STEPS[-1]).eval(), made.prompts, rows=24).save(made.path)
    for part in ("training", "recording"):
        made.journal.append("part", name=part, seconds=1.0, step=9, peak_memory_bytes=1)
    config = resolve("smoke")
    study = {"config": config.resolved("own"), "config_hash": config.content_hash(),
             "tasks": "synthetic", "outputs": "own"}  # fmt: skip
    write_json(made.path / "manifest.json", made.manifest | study)
    return Run(made.path)


@pytest.mark.parametrize("plot", [plot_accuracy, plot_clusters, plot_heat_map, plot_causal_map])
def test_a_run_and_its_folder_give_a_figure_of_their_own(run, plot):
    for source in (run, run.path, str(run.path)):
        figure = plot(source)
        assert isinstance(figure, Figure)
        assert figure.axes
        plt.close(figure)


@pytest.mark.parametrize("plot", [plot_accuracy, plot_clusters, plot_heat_map])
def test_given_axes_are_drawn_on(run, plot):
    figure, ax = plt.subplots()
    assert plot(run, ax=ax) is figure
    assert ax.has_data()
    plt.close(figure)
    figure, ax = plt.subplots(figsize=(10, 9))
    assert plot_causal_map(run, ax=ax) is figure
    assert len(figure.axes) > 1
    plt.close(figure)


def test_the_curve_of_the_chosen_stream_has_the_panels_values(run):
    figure = plot_clusters(run, "last")
    found = findings(run)
    clusters = found.summary.clusters["last"]
    rows = found.panel.query(
        "position == 'last' and metric == 'ari' and label == 'task' and half == 'report'"
    )
    rows = rows[(rows["view"] == clusters.view) & (rows["stream"] == clusters.stream)]
    wanted = rows.sort_values("step")["value"].to_numpy()
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in figure.axes[0].lines]
    assert any(y.shape == wanted.shape and np.allclose(y, wanted) for y in drawn)
    plt.close(figure)


def test_a_position_that_is_none_is_refused_with_the_nearest(run):
    with pytest.raises(BadInput, match=r"'lst' \(did you mean 'last'\?\)"):
        plot_clusters(run, "lst")


def test_what_is_not_measured_or_no_run_is_refused(run, tmp_path):
    recorded = Run.create(tmp_path / "recorded", run.prompts, {"name": "recorded"})
    with pytest.raises(BadInput, match="holds no panel; measure the run first"):
        plot_accuracy(recorded)
    with pytest.raises(BadInput, match="no run folder"):
        plot_heat_map(tmp_path)
