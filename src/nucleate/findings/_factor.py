"""Which runs are replicates and which setting differs between the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nucleate._core.errors import BadInput
from nucleate._core.names import nearest

Settings = Mapping[str, Any]

_NOT_SETTINGS = (
    "report_to", "disable_tqdm", "run_name", "hub_model_id", "resume_from_checkpoint", "local_rank",
    "overwrite_output_dir", "log_level", "name",
)  # fmt: skip
"""Where results go and how they are shown, under any prefix."""
_FOLLOWS = ("parameters", "trainable_parameters", "steps", "tokens")
"""What other settings decide: named last where several differ together."""
UNSET = "not set"
RUN = "run"
"""The factor where every run is a setting of its own."""


@dataclass(frozen=True)
class Factor:
    """How runs are grouped.

    Attributes:
        name: the settings that differ, `run` where each run stands for itself, or empty where all
            are replicates.
        labels: the setting of each run, in the order of the runs.
        seeds: the seed of each run; None where it is not on record.
        pairs: what two runs of different settings must share to be a pair; None: never a pair.
        notes: what a reader must know.
    """

    name: str
    labels: tuple[str, ...]
    seeds: tuple[str | None, ...]
    pairs: tuple[str | None, ...]
    notes: tuple[str, ...] = ()

    @property
    def settings(self) -> tuple[str, ...]:
        """Each setting once: numbers rising, else in the order of the runs."""
        return tuple(sorted(dict.fromkeys(self.labels), key=_numeric))


def find_factor(settings: Sequence[Settings], names: Sequence[str], by: str | None) -> Factor:
    """Group runs by the settings that differ between them, seeds aside.

    Args:
        settings: of each run, flat; empty where none are on record.
        names: of the runs.
        by: one setting to group by, `run`, or None for all that differ.

    Raises:
        BadInput: no run has a setting of this name.
    """
    seeds = tuple(_seed(each) for each in settings)
    if by == RUN or (by is None and not any(settings)):
        alone: tuple[str, ...] = () if by == RUN else (
            "No run has settings on record, so that it is not known which of them are replicates: "
            "each stands for itself. Name groups as LABEL=RUN.",
        )  # fmt: skip
        return Factor(RUN, tuple(names), seeds, seeds, alone)
    differing = _differing(settings)
    if by is None:
        groups = _merged(differing, settings)
        labels = tuple(_label(groups, each) for each in settings)
        notes = tuple(
            f"{', '.join(more)} {'goes' if len(more) == 1 else 'go'} together with {key}."
            for key, *more in groups if more
        )  # fmt: skip
        return Factor(", ".join(key for key, *_ in groups), labels, seeds, seeds, notes)
    key = _known(by, settings)
    labels = tuple(_said(each.get(key, UNSET)) for each in settings)
    others = [name for name in differing if name != key and not _same_split(name, key, settings)]
    within = [f"{seed}|{[each.get(name) for name in others]}" if seed is not None else None
              for seed, each in zip(seeds, settings, strict=True)]  # fmt: skip
    notes = (f"Runs of one setting differ in {', '.join(others)} as well.",) if others else ()
    return Factor(key, labels, seeds, tuple(within), notes)


def of_groups(groups: Mapping[str, int], seeds: Sequence[str | None]) -> Factor:
    """Groups that the user names: label -> number of its runs, in their order."""
    labels = tuple(label for label, count in groups.items() for _ in range(count))
    return Factor("group", labels, tuple(seeds), tuple(seeds))


def seed_of_settings(settings: Settings) -> str | None:
    """All seeds of a run as one text; None where none is on record."""
    return _seed(settings)


def _seed(settings: Settings) -> str | None:
    found = [str(it) for name, it in settings.items() if _is_seed(name) and it is not None]
    return ",".join(dict.fromkeys(found)) or None


def _is_seed(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last == "seed" or last.endswith("_seed")


def _is_setting(name: str) -> bool:
    last = name.rpartition(".")[2]
    return not (_is_seed(name) or last in _NOT_SETTINGS or last.endswith(("_dir", "_path")))


def _differing(settings: Sequence[Settings]) -> list[str]:
    """The settings that are not the same in all runs."""
    keys = dict.fromkeys(key for each in settings for key in each if _is_setting(key))
    return [key for key in keys if len({_said(each.get(key, UNSET)) for each in settings}) > 1]


def _merged(keys: Sequence[str], settings: Sequence[Settings]) -> list[list[str]]:
    """Settings that always change together in one list, the one that decides first."""
    groups: list[list[str]] = []
    for key in sorted(keys, key=lambda name: name.rpartition(".")[2] in _FOLLOWS):
        for group in groups:
            if _same_split(group[0], key, settings):
                group.append(key)
                break
        else:
            groups.append([key])
    return [group for group in groups if not _follows(group, groups, settings)] or groups


def _follows(
    group: Sequence[str], groups: Sequence[Sequence[str]], settings: Sequence[Settings]
) -> bool:
    """Whether a group only tells what another setting has decided."""
    if group[0].rpartition(".")[2] not in _FOLLOWS:
        return False
    return any(other is not group and len(_split(other[0], settings)) for other in groups)


def _same_split(one: str, other: str, settings: Sequence[Settings]) -> bool:
    return _split(one, settings) == _split(other, settings)


def _split(key: str, settings: Sequence[Settings]) -> list[int]:
    """Which runs have the same value, as numbers in the order in which they occur."""
    seen: dict[str, int] = {}
    return [seen.setdefault(_said(each.get(key, UNSET)), len(seen)) for each in settings]


def _label(groups: Sequence[Sequence[str]], settings: Settings) -> str:
    values = [_said(settings.get(key, UNSET)) for key, *_ in groups]
    if len(values) < 2:
        return "".join(values) or "all"
    names = [key.rpartition(".")[2] for key, *_ in groups]
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _known(by: str, settings: Sequence[Settings]) -> str:
    """The full name of a setting that was named in full or by its end."""
    known = dict.fromkeys(key for each in settings for key in each)
    if by in known:
        return by
    ends = [key for key in known if key.endswith(f".{by}")]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise BadInput(f"{by!r} is the end of several settings: name one of {', '.join(ends)}")
    raise BadInput(
        f"no run has a setting {by!r}{nearest(by, known)}; settings that differ are "
        f"{', '.join(_differing(settings)) or 'none'}"
    )


def _numeric(label: str) -> tuple[int, float]:
    try:
        return 0, float(label)
    except ValueError:
        return 1, 0.0
