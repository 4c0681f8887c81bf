"""The published form of `summary.json`: what one run found, every number beside its null.

A summary is the one record from which report, terminal, figures and tables take their words. It
cannot contradict itself: what is said of the whole follows from what is said of the places, and a
record in which it does not is refused.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nucleate.findings._rules import ClusterVerdict, PlaceVerdict, Use, place_verdict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Accuracy(_Strict):
    """Greedy exact-match accuracy on one split at the last recorded step."""

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1, description="lower end of its 95 % interval over strings")
    high: float = Field(ge=0, le=1, description="upper end of its 95 % interval over strings")
    loss: float | None = Field(
        description="mean negative log-likelihood of the answer tokens, in nats"
    )
    n: int = Field(gt=0, description="rows")
    strings: int = Field(gt=0, description="instruction strings")
    chance: float | None = Field(
        ge=0,
        le=1,
        description="how often a task drawn at random has the same answer on the input; null: not "
        "known",
    )


class OnsetSummary(_Strict):
    """First step from which a series stays above its null band until the end."""

    step: int | None = Field(description="null where the series never stays above its band")
    low: int | None = Field(description="2.5 % point over bootstraps; null: no onset found there")
    high: int | None = Field(description="97.5 % point over bootstraps; null: none found there")
    found: float | None = Field(
        ge=0, le=1, description="share of bootstraps that have an onset at all; null: none drawn"
    )
    first_step: int = Field(description="first recorded step: nothing can be dated before it")


class NullBand(_Strict):
    """What the same number is by chance, in three ways."""

    n0: float | None = Field(description="99 % point with tasks permuted over instruction strings")
    n1: float | None = Field(description="highest of the untrained models")
    n2: float | None = Field(description="bag of tokens of the same rows")


class Clusters(_Strict):
    """Task clusters at one position: ARI of k-means against task, at the stream of the highest ARI.

    The stream is chosen on one half of the instruction strings; `first`, `last`, the interval
    and the nulls are measured on the other half.
    """

    stream: str
    view: Literal["raw", "conditioned"]
    first: float | None = Field(description="ARI at the first recorded step")
    last: float = Field(description="ARI at the last recorded step")
    low: float | None = Field(description="lower end of the 95 % interval")
    high: float | None = Field(description="upper end of the 95 % interval")
    null: NullBand
    verdict: ClusterVerdict
    reason: str = Field("", description="why it is undecided, where a null is undefined")
    onset: OnsetSummary


class Controls(_Strict):
    """Interventions that must do nothing if the effect is about the task."""

    random_direction: float | None = Field(description="redirected by a random shift of equal norm")
    wrong_task: float | None = Field(description="a third task's answer, by the shift towards B")
    mean_shift: float | None = Field(None, description="redirected by a shift to the mean of all")
    shuffled: float | None = Field(
        None, description="redirected by means under permuted tasks, at equal norm"
    )
    other_input: float | None = Field(
        None, description="redirected by the state of the same task on another input"
    )


class Effects(_Strict):
    """What interventions at one place do to the answers."""

    shift: float | None = Field(description="share of answers that become task B's by mu_B - mu_A")
    shift_low: float | None
    shift_high: float | None
    chance: float | None = Field(description="how often a random task's answer is task B's")
    controls: Controls
    erase: float = Field(description="accuracy lost when the task is erased (LEACE)")
    erase_low: float
    erase_high: float
    random_erase: float = Field(description="accuracy lost by a random subspace of equal rank")
    displaced: float | None = Field(
        None, description="accuracy lost by a random vector of the norm that erasing changes"
    )
    use: Use


class PlaceFinding(_Strict):
    """One place (stream, position) at the last step: are clusters there, and are they used?

    ARI, its interval and its nulls are those of the half of the instruction strings that no
    choice was made on, here as everywhere.
    """

    stream: str
    position: str
    view: Literal["raw", "conditioned"]
    ari: float | None
    low: float | None
    high: float | None
    null: NullBand
    clusters: ClusterVerdict
    effects: Effects | None = Field(None, description="null: no interventions were made here")
    verdict: PlaceVerdict | None = Field(None, description="null: no interventions were made here")

    @model_validator(mode="after")
    def _verdict_follows(self) -> "PlaceFinding":
        follows = None if self.effects is None else place_verdict(self.clusters, self.effects.use)
        if self.verdict != follows:
            raise ValueError(
                f"{self.stream} at {self.position} is called {self.verdict!r}, but its numbers say "
                f"{follows!r}"
            )
        return self


class Strongest(_Strict):
    """The largest effect of any place, with an interval that knows that it is a maximum."""

    stream: str
    position: str
    value: float
    low: float | None
    high: float | None


class Verdict(_Strict):
    """The run in two words and a few sentences, generated from the numbers above."""

    clusters: ClusterVerdict
    used: Literal["used", "not used", "undecided", "not tested"]
    words: list[str]


class Summary(_Strict):
    """Everything that `summary.json` holds."""

    schema_version: Literal[2] = 2
    name: str = Field(description="name of the run")
    tasks: str = Field(description="what the task set is")
    outputs: Literal["own", "shared", "natural"] | None = Field(
        description="null: the run is of no study of nucleate"
    )
    model: str
    seed: int | None = Field(description="null: not on record")
    null: str | None = Field(description="`scrambled`: the instruction says nothing of the task")
    steps: int = Field(description="of the training; the last recorded one where that is not known")
    config_hash: str = Field(description="of all settings on record; empty where there are none")
    recorded: int = Field(0, ge=0, description="measured steps; 0: not on record")
    unmeasured: str = Field("", description="why nothing was measured; empty where it was")
    accuracy: dict[str, Accuracy] = Field(description="by split; `all` where rows have no splits")
    accuracy_onset: OnsetSummary | None = Field(description="null: no answers, or chance unknown")
    clusters: dict[str, Clusters] = Field(description="by position")
    places: list[PlaceFinding] = Field(description="every place at the last step")
    strongest_shift: Strongest | None = None
    strongest_erase: Strongest | None = None
    embedding_change: dict[str, float] = Field(
        description="ARI of the embedding, last step minus first, by position"
    )
    seconds: dict[str, float]
    peak_memory_bytes: int | None = Field(description="null: not on record")
    recording_share: float | None = Field(
        description="seconds in the recorder / seconds of training; null: not on record"
    )
    notes: list[str] = Field(
        default_factory=list, description="what a reader must know, such as differing settings"
    )
    verdict: Verdict

    @model_validator(mode="after")
    def _one_story(self) -> "Summary":
        clusters, used = overall(self.clusters.values(), self.places)
        if (self.verdict.clusters, self.verdict.used) != (clusters, used):
            raise ValueError(
                f"the verdict is {self.verdict.clusters!r}, {self.verdict.used!r}, but the places "
                f"say {clusters!r}, {used!r}"
            )
        at = {(p.position, p.stream): p.clusters for p in self.places}
        for position, found in self.clusters.items():
            if at.get((position, found.stream), found.verdict) != found.verdict:
                raise ValueError(
                    f"{found.stream} at {position} is {found.verdict!r} in one place of the record "
                    f"and {at[position, found.stream]!r} in another"
                )
        return self

    def called(self, *verdicts: str) -> list[PlaceFinding]:
        """The places that are called by one of these verdicts, in order."""
        return [place for place in self.places if place.verdict in verdicts]

    @property
    def tested(self) -> list[PlaceFinding]:
        """The places where interventions were made."""
        return [place for place in self.places if place.effects is not None]


def overall(
    clusters: Iterable[Clusters], places: Sequence[PlaceFinding]
) -> tuple[ClusterVerdict, Literal["used", "not used", "undecided", "not tested"]]:
    """The verdict on a whole run, from those on its positions and places."""
    found = {each.verdict for each in clusters}
    there: ClusterVerdict = next((word for word in _MOST_FIRST if word in found), "none")
    uses = {place.effects.use for place in places if place.effects is not None}
    if not uses:
        return there, "not tested"
    if "used" in uses:
        return there, "used"
    return there, "undecided" if "undecided" in uses else "not used"


_MOST_FIRST: tuple[ClusterVerdict, ...] = ("clusters", "undecided", "none")
