"""A transformer whose every weight is set by hand, so that what it uses is known.

A row is `begin, word, end, input`; each word belongs to one task, and the answer is task(input).
The states are registers side by side, each a one-hot code:

    role   | begin, word, end or input: what kind of token this is
    task   | the word's task; only at the word itself
    code   | the task, copied to the input token: block 2 reads it          -> used
    decoy  | the task, copied to the end token: nothing reads it            -> present, not used
    input  | which input; only at the input token
    answer | one place for each (task, input); the vocabulary head reads this and nothing else

- Block 0, head 0: the input token looks at the word and copies its task into `code`.
- Block 0, head 1: the end token looks at the word and copies its task into `decoy`.
- Block 1 does nothing.
- Block 2, MLP: unit (t, x) multiplies `code` t with `input` x and writes `answer` (t, x).

Without `copies` no block does anything, and the vocabulary head answers by the input alone.
"""

from itertools import product

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from nucleate.prompts import PromptSet

TASKS, WORDS, INPUTS = 4, 5, 4
ROLES = ("begin", "word", "end", "input")
HEAD = 8  # numbers in an attention head; the first TASKS of them carry values
STRONG = 40.0  # an attention score, or an answer, that leaves nothing to the others

_SIZES = {
    "role": len(ROLES), "task": TASKS, "code": TASKS, "decoy": TASKS, "input": INPUTS,
    "answer": TASKS * INPUTS,
}  # fmt: skip
_STARTS = dict(zip(_SIZES, np.cumsum([0, *_SIZES.values()]).tolist(), strict=False))
WIDTH = sum(_SIZES.values())

BEGIN, END = 0, 1
FIRST_WORD = 2
FIRST_INPUT = FIRST_WORD + TASKS * WORDS
FIRST_ANSWER = FIRST_INPUT + INPUTS
VOCABULARY = FIRST_ANSWER + TASKS * INPUTS


def at(register: str, index: int) -> int:
    """Which number of a state holds one value of a register."""
    return _STARTS[register] + index


def role(name: str) -> int:
    return at("role", ROLES.index(name))


def pair(task: int, x: int) -> int:
    return task * INPUTS + x


@torch.no_grad()
def handmade(*, copies: bool = True) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=3, num_attention_heads=2,
        head_dim=HEAD, intermediate_size=TASKS * INPUTS, tie_word_embeddings=False,
        # So slow that the last coordinates of a head do not turn with the token's place.
        rope_parameters={"rope_type": "default", "rope_theta": 1e12},
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    for name, weights in model.named_parameters():
        weights.fill_(1.0 if "norm" in name else 0.0)
    _embed(model.model.embed_tokens.weight)
    if copies:
        attention = model.model.layers[0].self_attn
        _copy(attention, head=0, looking="input", into="code")
        _copy(attention, head=1, looking="end", into="decoy")
        _multiply(model.model.layers[2].mlp)
    _answer(model.lm_head.weight, by_input=not copies)
    return model


def _embed(weights: torch.Tensor) -> None:
    weights[BEGIN, role("begin")] = 1
    weights[END, role("end")] = 1
    for task, word in product(range(TASKS), range(WORDS)):
        token = FIRST_WORD + task * WORDS + word
        weights[token, role("word")] = 1
        weights[token, at("task", task)] = 1
    for x in range(INPUTS):
        weights[FIRST_INPUT + x, role("input")] = 1
        weights[FIRST_INPUT + x, at("input", x)] = 1


def _copy(attention: torch.nn.Module, *, head: int, looking: str, into: str) -> None:
    """Tokens of one role copy the word's task; all others look at `begin`, which has none."""
    first = head * HEAD
    to_word, to_begin = first + HEAD - 1, first + HEAD - 2
    for name in ROLES:
        aim = to_word if name == looking else to_begin
        attention.q_proj.weight[aim, role(name)] = STRONG
    attention.k_proj.weight[to_word, role("word")] = 1
    attention.k_proj.weight[to_begin, role("begin")] = 1
    # The word's state has two ones among WIDTH numbers, which the norm makes this large.
    size = (WIDTH / 2) ** 0.5
    for task in range(TASKS):
        attention.v_proj.weight[first + task, at("task", task)] = 1
        attention.o_proj.weight[at(into, task), first + task] = 1 / size


def _multiply(mlp: torch.nn.Module) -> None:
    """silu(0) is 0, and so is everything times 0: a unit answers if both its codes are there."""
    for task, x in product(range(TASKS), range(INPUTS)):
        unit = pair(task, x)
        mlp.gate_proj.weight[unit, at("code", task)] = 1
        mlp.up_proj.weight[unit, at("input", x)] = 1
        mlp.down_proj.weight[at("answer", unit), unit] = 1


def _answer(weights: torch.Tensor, *, by_input: bool) -> None:
    for task, x in product(range(TASKS), range(INPUTS)):
        # Rounding must not decide between answers that are equally likely: later tasks win.
        size = STRONG * (1 + task / 100)
        weights[FIRST_ANSWER + pair(task, x), at("answer", pair(task, x))] = size
        if by_input and task == 0:
            weights[FIRST_ANSWER + pair(task, x), at("input", x)] = STRONG


def rows() -> PromptSet:
    """Every word with every input; the positions are the end token and the input token."""
    cells = list(product(range(TASKS), range(WORDS), range(INPUTS)))
    ids = [
        [BEGIN, FIRST_WORD + t * WORDS + w, END, FIRST_INPUT + x, FIRST_ANSWER + pair(t, x)]
        for t, w, x in cells
    ]
    count = len(cells)
    return PromptSet(
        ids=np.array(ids, dtype=np.int32),
        prompt_lengths=np.full(count, 4),
        lengths=np.full(count, 5),
        positions={"instruction_end": np.full(count, 2), "last": np.full(count, 3)},
        labels={
            "task": tuple(f"task {t}" for t, _, _ in cells),
            "instruction": tuple(f"word {t} {w}" for t, w, _ in cells),
            "input": tuple(f"x{x}" for _, _, x in cells),
        },
        chance=np.full(count, 1 / TASKS),
        tokenizer_hash="",
    )
