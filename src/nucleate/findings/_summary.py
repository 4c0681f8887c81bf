"""The published form of `summary.json`: what one run found, every number beside its null."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ClusterVerdict = Literal["clusters", "undecided", "none"]
UseVerdict = Literal["used", "present but not used", "used without clusters", "absent", "undecided"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Accuracy(_Strict):
    """Greedy exact-match accuracy on one split at the last recorded step."""

    value: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1, description="lower end of the 95 % Wilson interval")
    high: float = Field(ge=0, le=1, description="upper end of the 95 % Wilson interval")
    loss: float = Field(description="mean negative log-likelihood of the answer tokens, in nats")
    n: int = Field(gt=0, description="rows")
    chance: float = Field(
        ge=0, le=1, description="how often a task drawn at random has the same answer on the input"
    )


class OnsetSummary(_Strict):
    """First step from which a series stays above its null band until the end."""

    step: int | None = Field(description="null where the series never stays above its band")
    low: int | None = Field(description="2.5 % point over bootstraps; null: no onset found there")
    high: int | None = Field(description="97.5 % point over bootstraps; null: none found there")
    found: float = Field(ge=0, le=1, description="share of bootstraps that have an onset at all")


class NullBand(_Strict):
    """What the same number is by chance, in three ways."""

    n0: float | None = Field(description="99 % point with tasks permuted over instruction strings")
    n1: float | None = Field(description="highest of the untrained models")
    n2: float | None = Field(description="bag of tokens of the same rows")


class Clusters(_Strict):
    """Task clusters at one position: ARI of k-means against task.

    The stream is chosen on one half of the instruction strings; `first`, `last`, the interval
    and the nulls are measured on the other half.
    """

    stream: str
    view: Literal["raw", "conditioned"]
    first: float = Field(description="ARI at the first recorded step")
    last: float = Field(description="ARI at the last recorded step")
    low: float = Field(description="lower end of the 95 % bootstrap interval over instructions")
    high: float = Field(description="upper end of the 95 % bootstrap interval over instructions")
    null: NullBand
    verdict: ClusterVerdict
    onset: OnsetSummary
    by_stream: dict[str, float] = Field(description="ARI of every stream, all rows, last step")


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


class Used(_Strict):
    """What interventions at one place do to the answers."""

    stream: str
    position: str
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
    clusters: ClusterVerdict
    verdict: UseVerdict


class Verdict(_Strict):
    """The run in two words and a few sentences, generated from the numbers above."""

    clusters: ClusterVerdict
    used: Literal["used", "not used", "undecided"]
    words: list[str]


class Summary(_Strict):
    """Everything that `summary.json` holds."""

    schema_version: Literal[1] = 1
    name: str = Field(description="name of the run")
    tasks: str = Field(description="what the task set is")
    outputs: Literal["own", "shared", "natural"]
    model: str
    seed: int
    null: str | None = Field(description="`scrambled`: the instruction says nothing of the task")
    steps: int
    config_hash: str
    accuracy: dict[str, Accuracy]
    accuracy_onset: OnsetSummary
    clusters: dict[str, Clusters]
    embedding_change: dict[str, float] = Field(
        description="ARI of the embedding, last step minus first, by position"
    )
    used: list[Used]
    seconds: dict[str, float]
    peak_memory_bytes: int
    recording_share: float = Field(description="seconds in the recorder / seconds of training")
    verdict: Verdict
