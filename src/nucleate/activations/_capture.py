"""Reading a prompt set's hidden states, and how its answers score, out of a causal LM.

The pass leaves the model as it was: it runs in evaluation mode without gradients, draws from no
random generator, and afterwards removes every hook and restores every training flag.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from nucleate._core.errors import BadInput
from nucleate.activations._anatomy import Blocks, anatomy_of, forget
from nucleate.activations._collect import Collector, Reading
from nucleate.activations._fits import check_fits
from nucleate.activations._hooks import evaluating, unwrapped
from nucleate.activations._placement import check_placed
from nucleate.activations._ways import Plan, Way, plan_for
from nucleate.prompts import PromptSet
from nucleate.runs import States

# So many rows that are not finite are read again one by one, more of them in batches.
_FEW_ROWS = 32


def capture(
    model: nn.Module,
    prompts: PromptSet | Iterable[Any],
    tokenizer: Any = None,
    *,
    positions: str | int | Sequence[str | int] | None = None,
    blocks: Blocks | None = None,
    finite: bool = True,
) -> States:
    """Read hidden states of prompts at every stream and position.

    Args:
        model: any decoder-only causal LM from transformers, compiled, distributed, offloaded by
            accelerate, or adapted by PEFT; its mode, hooks and the random generators are left as
            they were.
        prompts: a prompt set; or texts, such as a list of strings or a column of a data frame,
            together with their `tokenizer`.
        tokenizer: the model's; for texts only.
        positions: for texts only: where states are read, as in `PromptSet.from_records`; `last`,
            the last token of each text, by default.
        blocks: the list of the model's blocks, or its dotted name such as `model.layers`, where
            they are not found; later calls with the same model remember it.
        finite: refuse states with a NaN or an infinite value; False reads them as they are, and
            `States.not_finite` says where they are.

    Returns:
        states [stream, position, row, width] on the device that takes the model's inputs. They
        equal those of each row read alone, without padding, up to float rounding (`verify`
        measures the difference). Where streams differ in dtype, they are in one that holds the
        values of all.

    Raises:
        BadInput: the model is no decoder, its blocks cannot be found, or its states are not
            finite; a row has ids that the model does not know, or is longer than it can read; texts
            without a tokenizer.

    Examples:
        >>> import nucleate as nc
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> model = LlamaForCausalLM(LlamaConfig(vocab_size=20, hidden_size=8, intermediate_size=16,
        ...     num_hidden_layers=2, num_attention_heads=2))
        >>> rows = [{"ids": [3, 1, 4]}, {"ids": [1, 5]}]
        >>> states = nc.capture(model, nc.PromptSet.from_records(rows, None, positions="last"))
        >>> states.streams
        ('embed', 'block.0', 'block.1', 'final_norm')
        >>> states.at("block.1", "last").shape
        torch.Size([2, 8])
    """
    _check_model(model, blocks)
    if isinstance(prompts, PromptSet):
        if tokenizer is not None or positions is not None:
            raise BadInput(
                "a prompt set has its tokens and positions; give tokenizer= and positions= with "
                "texts only"
            )
        made = prompts
    else:
        rows = [{"text": text} for text in _texts(prompts, tokenizer)]
        made = PromptSet.from_records(
            rows, tokenizer, positions="last" if positions is None else positions
        )
    states = read(model, made, scores=False).states
    if finite and (where := states.not_finite) is not None:
        raise BadInput(
            f"states of {type(unwrapped(model)).__name__} are not finite {where}; look at its "
            "weights and dtype, or read them as they are with finite=False"
        )
    return states


def _texts(given: Iterable[Any], tokenizer: Any) -> list[str]:
    """Check what is given in place of a prompt set."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise BadInput(
            f"prompts is {given!r}, neither a prompt set nor a list of texts; give [text, ...] "
            "with tokenizer=, or a PromptSet"
        )
    texts = list(given)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadInput(
                f"prompts[{row}] is {text!r} and no text; give strings, or make a prompt set with "
                "PromptSet.from_records"
            )
    if tokenizer is None:
        raise BadInput("texts need the model's tokenizer; call capture(model, texts, tokenizer)")
    return texts


def read(
    model: nn.Module, prompts: PromptSet, *, scores: bool = True, share_prefixes: bool = True
) -> Reading:
    """States and scores of a prompt set's rows in one pass.

    Args:
        model: as for `capture`. Under FSDP every rank must make the same call.
        prompts: the rows.
        scores: whether answers are scored; the vocabulary head computes nothing else.
        share_prefixes: run each distinct instruction once, where the model and the prompt set
            allow.

    Notes:
        States that are not finite are read as they are. A row that is not finite is read a second
        time apart from the others, so that it has what it has alone.
    """
    return read_by_plan(model, prompts, scores=scores, share=share_prefixes)[0]


def read_by_plan(
    model: nn.Module, prompts: PromptSet, *, scores: bool, share: bool = True
) -> tuple[Reading, Plan]:
    """What `read` returns, and how the rows were put together."""
    check_readable(model, prompts)
    out = Collector(model, prompts, scores=scores)
    with evaluating(unwrapped(model)):
        plan = plan_for(model, prompts, share=share)
        plan.read(model, out)
        bad = out.rows_not_finite()
        if len(bad) and plan.way != "alone":
            apart: Way = "equal" if plan.way == "equal" else "padded"
            apart = "alone" if len(bad) <= _FEW_ROWS else apart
            plan.read(model, out, bad, way=apart)
    return out.reading(), plan


def check_readable(
    model: nn.Module, prompts: PromptSet | None = None, *, blocks: Blocks | None = None
) -> None:
    """Check that a model's states can be read; cheap the second time.

    Args:
        model: as for `capture`.
        prompts: rows that must fit the model as well.
        blocks: as for `capture`.

    Raises:
        BadInput: as `capture`, but for states that are not finite.
    """
    _check_model(model, blocks)
    if prompts is not None:
        check_fits(model, prompts)


def _check_model(model: nn.Module, blocks: Blocks | None) -> None:
    if not isinstance(model, nn.Module):
        raise BadInput(
            f"model is a {type(model).__name__} and no torch module; give a loaded causal LM"
        )
    check_placed(model)
    known = anatomy_of(model, blocks=blocks)
    if not known.causal:
        forget(model)
        anatomy_of(model)
