"""What model is trained, and how; the settings are checked without torch."""

from importlib.util import find_spec
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nucleate._core.errors import BadInput
from nucleate.training.regularizers._regularizer import Regularizer

Curriculum = Literal["tasks", "families", "short", "random"]


class ModelConfig(BaseModel):
    """What model is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arch: str = Field(
        "nemotron", description="a `model_type` of transformers, as llama, gpt2, gpt_neox, nemotron"
    )
    depth: int = Field(6, ge=1, description="blocks")
    width: int = Field(96, ge=2, description="size of the hidden states")
    heads: int = Field(4, ge=1, description="attention heads; must divide the width")
    inner: int | None = Field(None, ge=1, description="width inside the MLP; 8 x width if not set")
    dropout: float = Field(0.0, ge=0, lt=1)
    attention: Literal["eager", "sdpa"] = Field(
        "eager", description="eager is a quarter faster on the short sequences trained here"
    )
    init_scale: float | None = Field(
        None,
        gt=0,
        description="factor of all initial weight matrices, embeddings included; 1 if not set",
    )
    activation: str | None = Field(
        None, description="of the MLPs, as gelu, relu, relu2, silu; the architecture's if not set"
    )
    pretrained: str | None = Field(
        None,
        description="folder of a trained model to start from, with its own tokenizer; its "
        "architecture and sizes count, not those set here",
    )
    fresh: bool = Field(
        False, description="pretrained: keep architecture and tokenizer, draw the weights anew"
    )
    extra: dict[str, Any] = Field(
        default_factory=dict, description="further settings of the architecture's own config"
    )

    def check(self) -> None:
        """Refuse what does not fit together.

        Raises:
            BadInput: the width is not a multiple of the heads.
        """
        if self.width % self.heads:
            raise BadInput(
                f"model.width {self.width} is not a multiple of model.heads {self.heads}; "
                "change either"
            )


class TrainingConfig(BaseModel):
    """How the model is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(300, ge=1)
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(
        8e-4,
        gt=0,
        description="each optimizer's own: what suits AdamW suits Muon; Lion often wants a tenth "
        "of it, SGD a hundred times as much",
    )
    optimizer: Literal["adamw", "sgd", "lion", "muon"] = Field(
        "adamw",
        description="muon: of the matrices in the blocks, all else by AdamW; lion: from the extra "
        "`optimizers`",
    )
    momentum: float | None = Field(
        None, ge=0, lt=1, description="of sgd (0.9 if not set) and muon (0.95)"
    )
    schedule: Literal["constant", "linear", "cosine", "wsd", "inverse_sqrt"] = Field(
        "linear",
        description="what the learning rate does after the warm-up: stay, fall to 0, stay and fall "
        "to 0 over the last fifth (wsd), or fall as one over the root of the step",
    )
    warmup_steps: int = Field(20, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    loss: Literal["answer", "sequence"] = Field(
        "answer", description="which tokens are learned: the answer's, or all but the first"
    )
    hard_negatives: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of a batch that stands in groups of four with one input and different "
        "tasks",
    )
    curriculum: Curriculum | None = Field(
        None,
        description="rows enter by turns: tasks one by one, of each task its families one by one, "
        "its short instructions first, or its instructions in random order (the control)",
    )
    curriculum_until: float = Field(
        0.5, gt=0, le=1, description="share of the steps after which all rows have entered"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16: forward passes under autocast, weights in float32"
    )
    compile: bool = Field(False, description="run the training steps through torch.compile")
    device: str = Field("auto", description="cpu, cuda, mps ...; auto takes an accelerator if any")
    checkpoint_every: int = Field(100, ge=1, description="steps")
    regularizer: Regularizer | None = Field(
        None, description="what promotes or suppresses task clusters; none if not set"
    )

    def momentum_or(self, usual: float) -> float:
        """The momentum that is set, else the usual one."""
        return usual if self.momentum is None else self.momentum

    def check(self) -> None:
        """Refuse what does not fit together, or needs a package that is not there.

        Raises:
            BadInput: a momentum is set that the optimizer has no use for, or the optimizer's
                package is not installed.
        """
        if self.momentum is not None and self.optimizer not in ("sgd", "muon"):
            raise BadInput(
                f"training.momentum is {self.momentum}, which {self.optimizer} has no use for; "
                "leave it unset, or choose the optimizer sgd or muon"
            )
        if self.optimizer == "lion" and find_spec("lion_pytorch") is None:
            raise BadInput(
                "training.optimizer is 'lion', whose package lion-pytorch is not installed; "
                "pip install 'nucleate[optimizers]'"
            )
