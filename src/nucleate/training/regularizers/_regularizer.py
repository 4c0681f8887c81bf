"""Regularizer: a loss that promotes or suppresses task clusters during training."""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from nucleate._core.errors import BadInput

if TYPE_CHECKING:
    from torch import nn

Kind = Literal[
    "contrastive", "center", "prompting", "reversal", "scatter_penalty", "scatter_reward"
]


class Regularizer(BaseModel):
    """A loss on the states at one place that makes task clusters tighter or looser.

    | kind | rewards |
    |---|---|
    | `contrastive` | rows of one task alike, others apart (Khosla et al. 2020) |
    | `center` | rows near their task's center (Wen et al. 2016) |
    | `prompting` | a state that gives the answer without the instruction (Yang et al. 2025) |
    | `scatter_reward` | a large between-task share of the variance |
    | `scatter_penalty` | a small one |
    | `reversal` | a state from which no linear classifier reads the task (Ganin et al. 2016) |

    The first four promote clusters, the last two suppress them. But for `prompting` the states are
    centered and scaled to unit variance over the batch first, so that no loss falls by making all
    states small and a weight means the same at every place.

    Notes:
        A falling loss says nothing about clusters on rows that are not trained;
        `manipulation_check` does. Any additional loss changes training, whether or not it knows
        the task: the shuffled-label twin shows how large that effect is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    stream: str | None = Field(
        None, description="embed, block.0 ..., final_norm; the middle block if not set"
    )
    position: Literal["instruction_end", "last"] = "instruction_end"
    weight: float = Field(0.1, ge=0, description="of the loss, beside 1 for the answers'; 0 is off")
    ramp_steps: int = Field(
        0, ge=0, description="steps over which the weight rises linearly from 0"
    )
    until: int | None = Field(None, ge=1, description="step from which the weight is 0 again")
    shuffled: bool = Field(
        False, description="the control: tasks permuted over instruction strings, equal gradient"
    )
    temperature: float = Field(0.1, gt=0, description="contrastive: of the cosines")
    centre_rate: float = Field(
        0.5, gt=0, le=1, description="center: how far centers move towards a batch's means"
    )
    classifier_rate: float = Field(0.3, gt=0, description="reversal: the classifier's step size")

    @property
    def promotes(self) -> bool:
        """Whether it is meant to make clusters tighter."""
        return self.kind not in ("reversal", "scatter_penalty")

    def weight_at(self, step: int) -> float:
        """The weight at a step (0 is the first); 0 means that nothing is read or added."""
        if self.until is not None and step >= self.until:
            return 0.0
        return self.weight * min(1.0, (step + 1) / max(1, self.ramp_steps))

    def stream_in(self, model: "nn.Module") -> str:
        """The stream's name in a model.

        Raises:
            BadInput: the model has no such stream, or nothing behind it could read the state that
                `prompting` puts there.
        """
        from nucleate.activations import stream_names
        from nucleate.runs import index_of

        names = stream_names(model)
        stream = self.stream or names[(len(names) - 1) // 2]
        index = index_of(stream, names, "stream")
        if self.kind == "prompting" and index >= len(names) - 2:
            raise BadInput(
                f"prompting at {stream} teaches nothing, since no block behind it reads the state; "
                f"choose one of {', '.join(names[:-2])}"
            )
        return stream
