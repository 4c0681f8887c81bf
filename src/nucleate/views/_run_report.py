"""What a report shows of one run, and how its tables are read."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from nucleate.findings import Summary, depth_order, in_order
from nucleate.panel import select_rows


@dataclass(frozen=True)
class RunReport:
    """Everything that figures and report show of one run: plain tables, nothing live.

    Attributes:
        summary: what the run found.
        panel: one row a number, each beside its nulls, over steps, streams and positions.
        accuracy: one row a (step, split).
        onsets: one row a series, NaN where none was found.
        places: one row per (stream, position), judged: of `findings.judge_places`.
        doses: of one place, one row a (edit, dose); empty where none was looked at closely.
        redirections: of one place, one row a (task, target); empty where there is none.
        picture: plane coordinates, one row a (step, stream, position, row of the prompt set); the
            columns that `picture_table` adds on fidelity are shown where they are present.
        training: of `findings.training_table`: what was logged of the training, by step.
        config: the resolved configuration, or the hyperparameters on record.
        provenance: versions, hardware, threads, seed, dtype.
        wordings: how the first tasks are announced, task -> a few instruction strings.
    """

    summary: Summary
    panel: pd.DataFrame
    accuracy: pd.DataFrame
    onsets: pd.DataFrame
    places: pd.DataFrame
    picture: pd.DataFrame
    doses: pd.DataFrame = field(default_factory=pd.DataFrame)
    redirections: pd.DataFrame = field(default_factory=pd.DataFrame)
    training: pd.DataFrame = field(default_factory=pd.DataFrame)
    config: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)
    wordings: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def steps(self) -> list[int]:
        """The recorded steps, in order; those of the answers where nothing was measured."""
        tables = (self.panel, self.accuracy, self.picture)
        known = next((list(table["step"]) for table in tables if len(table)), [])
        return sorted({int(step) for step in known})

    @property
    def streams(self) -> list[str]:
        """The streams from the embedding upwards."""
        return depth_order(self.panel["stream"].unique())

    @property
    def positions(self) -> list[str]:
        """The positions in the order in which they stand in the sequence, as far as it is known."""
        return in_order(self.panel["position"])

    def headline_view(self, position: str) -> str:
        """`conditioned` or `raw`: the one in which the summary measures this position."""
        if position in self.summary.clusters:
            return self.summary.clusters[position].view
        views = set(self.panel.loc[self.panel["position"] == position, "view"])
        return "conditioned" if position == "last" and "conditioned" in views else "raw"

    def chosen_stream(self, position: str) -> str:
        """The stream that the summary speaks of at this position; else the deepest."""
        if position in self.summary.clusters:
            return self.summary.clusters[position].stream
        return self.streams[-1] if self.streams else ""

    def numbers(
        self, position: str, view: str, *, label: str = "task", metric: str = "ari"
    ) -> pd.DataFrame:
        """The rows of one metric at one position over all steps and streams.

        ARI against task is that of the half of the strings on which no stream was chosen, as in
        summary and verdicts; all other numbers are of all strings.
        """
        rows = select_rows(self.panel, position=position, view=view, label=label, metric=metric)
        half = "report" if "report" in set(rows["half"]) else "all"
        return rows[rows["half"] == half]

    def last_numbers(self, position: str, view: str, *, label: str) -> pd.DataFrame:
        """ARI against one label at the last recorded step, indexed by stream."""
        rows = self.numbers(position, view, label=label)
        last: pd.DataFrame = rows[rows["step"] == rows["step"].max()].set_index("stream")
        return last
