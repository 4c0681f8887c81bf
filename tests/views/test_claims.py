"""The figure of the claims shows what was judged."""

import matplotlib as mpl
import numpy as np

from nucleate.findings import ClaimResult, Condition
from nucleate.views import claims_figure

mpl.use("Agg")

VALUES = (0.7, 0.8, 0.9)


def result(name, verdict="supported", values=VALUES, null=None):
    condition = Condition("ARI >= 0.5", "yes", float(np.mean(values)), 0.6, 1.0, len(values),
                          len(values), False, values, 0.5)  # fmt: skip
    return ClaimResult(name, "Clusters emerge.", verdict, (condition,), len(values), "", null)


def test_every_seed_of_a_claim_and_of_its_null_is_a_dot_and_the_threshold_a_line():
    null = result("C1", "not supported", (0.1, 0.2))
    figure = claims_figure([result("C1", null=null)])
    panel = figure.axes[0]
    dots = [line.get_ydata() for line in panel.lines if line.get_marker() == "o"]
    assert [list(each) for each in dots] == [list(VALUES), [0.1, 0.2]]
    assert any(list(line.get_ydata()) == [0.5, 0.5] for line in panel.lines)
    assert panel.get_title(loc="left") == "C1 supported"


def test_a_claim_without_a_null_study_or_a_number_is_drawn_empty():
    nothing = Condition("AUC >= 0.7", "unsure", np.nan, np.nan, np.nan, 0)
    empty = ClaimResult("C6", "They carry.", "undecided", (nothing,), 0, "")
    figure = claims_figure([result("C1"), empty])
    assert [ax.get_visible() for ax in figure.axes] == [True, True, False, False, False]
    assert not any(len(line.get_ydata()) for line in figure.axes[1].lines)
