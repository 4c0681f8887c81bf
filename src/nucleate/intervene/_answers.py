"""What a model answers under edits: greedy answers, log-likelihoods, and how far it moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nucleate.activations import predicting
from nucleate.intervene._engine import Text
from nucleate.prompts import PromptSet

AnswerTokens = Sequence[Sequence[int]]
"""One list of tokens a row."""


@dataclass(frozen=True)
class Asking:
    """Prompts as they are run, and the tokens that wanted answers would have there.

    A greedy answer equals a given one if and only if, with the given one written behind the
    prompt, each of its tokens is the likeliest after those before: so no text is generated.

    Attributes:
        text: prompts, with an answer behind them where it has several tokens; the logits that
            predict the answer are read.
        wanted: answers by name, padded with 0.
        real: which of the answers' tokens are no padding.
    """

    text: Text
    wanted: dict[str, Int[np.ndarray, "row kept"]]
    real: Bool[np.ndarray, "row kept"]

    def score(
        self,
        rows: Int[np.ndarray, "some"],
        logits: Float[Tensor, "some variant kept vocabulary"],
        clean: Float[Tensor, "some kept vocabulary"],
    ) -> dict[str, Float[np.ndarray, "some variant"]]:
        """How the answers of some rows come out.

        Args:
            rows: which rows of the text.
            logits: under each edit.
            clean: without any.

        Returns:
            for each wanted answer `hit.NAME`, 1 where it is the greedy one, and
            `likelihood.NAME`, its log-likelihood in nats; `kl`, of the next token's distribution
            from the clean one, in nats; `token`, the likeliest next token.
        """
        real = torch.as_tensor(self.real[rows], device=logits.device)[:, None]
        likely, greedy = logits.log_softmax(-1), logits.argmax(-1)
        found: dict[str, Tensor] = {}
        for name, answers in self.wanted.items():
            tokens = torch.as_tensor(answers[rows], device=logits.device)[:, None]
            tokens = tokens.expand(greedy.shape)
            found[f"hit.{name}"] = ((greedy == tokens) | ~real).all(-1)
            each = likely.gather(-1, tokens[..., None])[..., 0]
            found[f"likelihood.{name}"] = each.masked_fill(~real, 0).sum(-1)
        before = clean[:, None, 0].log_softmax(-1)
        found["kl"] = (before.exp() * (before - likely[:, :, 0])).sum(-1).clamp(min=0)
        found["token"] = greedy[:, :, 0]
        return {name: value.cpu().double().numpy() for name, value in found.items()}


def askings(
    prompts: PromptSet, rows: Int[np.ndarray, "row"], wanted: Mapping[str, AnswerTokens]
) -> list[Asking]:
    """What has to be run to score wanted answers of some rows: once, or once for each name.

    Args:
        prompts: has the prompts.
        rows: of the prompt set.
        wanted: answers by name. Where all have one token, the same pass scores all of them.
    """
    if all(len(tokens) == 1 for answers in wanted.values() for tokens in answers):
        one = _asking(prompts, rows, "", next(iter(wanted.values())))
        names = {name: np.array(answers, dtype=np.int64) for name, answers in wanted.items()}
        return [Asking(one.text, names, one.real)]
    return [_asking(prompts, rows, name, answers) for name, answers in wanted.items()]


def _asking(
    prompts: PromptSet, rows: Int[np.ndarray, "row"], name: str, answers: AnswerTokens
) -> Asking:
    prompt = prompts.prompt_lengths[rows]
    counts = np.array([len(tokens) for tokens in answers])
    reads, real = predicting(prompt, counts)
    padded = np.zeros(real.shape, dtype=np.int64)
    padded[real] = np.concatenate([np.asarray(tokens) for tokens in answers])
    lengths = prompt + counts - 1
    ids = np.zeros((len(rows), lengths.max()), dtype=np.int64)
    for line, (row, length) in enumerate(zip(rows, prompt, strict=True)):
        ids[line, :length] = prompts.ids[row, :length]
        ids[line, length : lengths[line]] = padded[line, : counts[line] - 1]
    return Asking(Text(ids, lengths, reads), {name: padded}, real)


def by_likelihood(
    scores: dict[str, Float[np.ndarray, "row *edit"]], wanted: Mapping[str, AnswerTokens]
) -> None:
    """Score answers against each other instead: the likeliest of the wanted ones is the answer.

    For models that could say anything: what is right is seldom the greedy answer word by word. A
    row with one wanted answer only would always be right, so such rows are not to be asked.

    Args:
        scores: of `Asking.score`; each `hit.NAME` becomes 1 where NAME is the likeliest, and one
            over their number where several answers are (as in half precision they may be).
        wanted: the answers, of which some rows have the same one under two names.
    """
    likely = {name: scores[f"likelihood.{name}"] for name in wanted}
    best = np.max(list(likely.values()), axis=0)
    tied = np.zeros_like(best)
    seen: list[set[tuple[int, ...]]] = [set() for _ in best]
    for name, answers in wanted.items():
        new = np.array(
            [tuple(each) not in known for each, known in zip(answers, seen, strict=True)]
        )
        tied[new] += likely[name][new] >= best[new]
        for each, known in zip(answers, seen, strict=True):
            known.add(tuple(each))
    for name in wanted:
        scores[f"hit.{name}"] = (likely[name] >= best) / tied
