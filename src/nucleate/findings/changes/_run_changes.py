"""Cluster changes between two recorded steps, of one run or of two."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nucleate._core.errors import BadInput
from nucleate._core.strings import number_strings
from nucleate.findings._format import position_name
from nucleate.findings.changes._cluster_changes import ClusterChanges, cluster_changes
from nucleate.findings.changes._string_means import LabeledStates
from nucleate.runs import Run, index_of


@dataclass(frozen=True)
class RunChanges:
    """What became of the clusters of one recorded step in another.

    Attributes:
        before, after: run folder and step, as in `runs/base@0`.
        stream, position: where the states are from.
        label: what clusters are of, such as `task`.
        inputs_removed: whether each input's mean was subtracted.
        changes: what was found.
    """

    before: str
    after: str
    stream: str
    position: str
    label: str
    inputs_removed: bool
    changes: ClusterChanges

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {**vars(self), "changes": self.changes.to_dict()}

    def lines(self) -> list[str]:
        """The findings in words."""
        removed = ", less each input's mean" if self.inputs_removed else ""
        basis = "one basis" if self.changes.common_basis else "no common basis"
        return [
            f"{self.before} -> {self.after}: clusters of {self.label} in {self.stream} at the "
            f"{position_name(self.position)}{removed}; {basis}.",
            *self.changes.lines(),
        ]


def run_changes(
    before: Run,
    after: Run,
    before_step: int | None = None,
    after_step: int | None = None,
    *,
    stream: str | None = None,
    position: str | None = None,
    label: str = "task",
    common_basis: bool | None = None,
    seed: int = 0,
) -> RunChanges:
    """Say which clusters moved, merged or split between recorded steps; see `cluster_changes`.

    Args:
        before, after: the runs; twice the same one to compare its steps. Prompts may differ, as
            long as the clusters have the same names.
        before_step, after_step: by default the last of each run; of one run its first and its last.
        stream: name in both runs; by default the last block that both have.
        position: by default `instruction_end` where there is one, else `last`.
        label: column of the prompts that names clusters.
        common_basis: by default True within one run, and False between two, which may have been
            trained apart. Give True where the second was trained on from the first.
        seed: of all draws.

    Raises:
        BadInput: no such step, stream, position or label; or as `cluster_changes` raises.
    """
    same = before.path.resolve() == after.path.resolve()
    for run in (before, after):
        if not run.steps:
            raise BadInput(f"{run.path} has no recorded steps; record some first")
    first = before.steps[0 if same else -1] if before_step is None else before_step
    last = after.steps[-1] if after_step is None else after_step
    if same and first == last:
        raise BadInput(f"step {first} of {before.path} is compared with itself; name two steps")
    stream = stream or _last_block(before, after, first, last)
    position = position or _position(before, after, first, last)
    sides = [
        labeled_states(run, step, stream, position, label)
        for run, step in ((before, first), (after, last))
    ]
    if any(side.inputs is None for side in sides):
        sides = [LabeledStates(side.states, side.clusters, side.strings) for side in sides]
    found = cluster_changes(
        *sides, common_basis=same if common_basis is None else common_basis, seed=seed
    )
    return RunChanges(
        f"{before.path}@{first}", f"{after.path}@{last}", stream, position, label,
        sides[0].inputs is not None, found,
    )  # fmt: skip


def labeled_states(
    run: Run, step: int, stream: str, position: str, label: str = "task"
) -> LabeledStates:
    """The states of one place of a recorded step, labeled as `cluster_changes` takes them.

    Inputs are given where the state depends on them (rows of a string differ) and every string has
    each of them; else None, and nothing is subtracted.

    Args:
        run, step, stream, position: where the states are from.
        label: column of the prompts that names clusters.

    Raises:
        BadInput: no such step, stream, position or label.
    """
    prompts = run.prompts
    prompts.check_labels(label, user="comparing clusters")
    streams, positions, _ = run.shape(step)
    level, place = index_of(stream, streams, "stream"), index_of(position, positions, "position")
    states = run.part(step, slice(level, level + 1), place)[0].double().numpy()
    strings = number_strings(prompts.labels)
    clusters = np.array(prompts.labels[label])
    if label not in ("task", "family", "instruction"):
        strings = np.unique([f"{s}/{c}" for s, c in zip(strings, clusters, strict=True)],
                            return_inverse=True)[1]  # fmt: skip
    depends = len(np.unique(prompts.prefix_groups(position))) > len(np.unique(strings))
    inputs = np.array(prompts.labels["input"]) if "input" in prompts.labels else None
    crossed = inputs is not None and len(
        set(zip(strings.tolist(), inputs.tolist(), strict=True))
    ) == len(np.unique(strings)) * len(np.unique(inputs))
    return LabeledStates(states, clusters, strings, inputs if depends and crossed else None)


def _last_block(before: Run, after: Run, first: int, last: int) -> str:
    one, other = before.shape(first)[0], after.shape(last)[0]
    common = [name for name in one if name in other and name.startswith("block.")]
    if not common:
        raise BadInput(
            f"{before.path} and {after.path} have no block in common; name a stream of both, of "
            f"{', '.join(one)}"
        )
    return common[-1]


def _position(before: Run, after: Run, first: int, last: int) -> str:
    one, other = before.shape(first)[1], after.shape(last)[1]
    common = [name for name in one if name in other]
    if not common:
        raise BadInput(
            f"{before.path} and {after.path} have no position in common: {', '.join(one)} against "
            f"{', '.join(other)}; record both at the same"
        )
    return "instruction_end" if "instruction_end" in common else common[-1]
