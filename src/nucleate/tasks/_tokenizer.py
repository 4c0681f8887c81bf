"""Tokenisers: one symbol, one token for synthetic sets; byte-level pieces for natural text."""

import hashlib
import re
from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from nucleate._errors import BadInput
from nucleate.tasks._taskset import TaskSet

SPECIALS = ("<pad>", "<sep>", "<cue>", "<end>", "<unk>")
_BYTES = 256


def train_tokenizer(taskset: TaskSet, vocab_size: int = 2048) -> Tokenizer:
    """Make the tokeniser of a set; text goes in and comes out unchanged, nothing is ever added.

    Args:
        taskset: the set; only training rows are learnt from where there is anything to learn.
        vocab_size: the largest number of tokens for natural text; a synthetic set has as many as
            it has symbols.

    Returns:
        A tokeniser with `<pad>` = 0, `<sep>`, `<cue>`, `<end>`, `<unk>` as the first five ids.

    Raises:
        BadInput: `vocab_size` has no room for the 256 bytes and the five specials.
    """
    if taskset.atoms:
        return _symbols(taskset)
    smallest = _BYTES + len(SPECIALS)
    if vocab_size < smallest:
        raise BadInput(f"vocab_size is {vocab_size}: natural text needs at least {smallest}.")
    return _byte_pairs(taskset, vocab_size)


def tokenizer_hash(tokenizer: Tokenizer) -> str:
    """Return the SHA-256 of the tokeniser's JSON form, as 64 hexadecimal digits."""
    return hashlib.sha256(tokenizer.to_str().encode()).hexdigest()


def _symbols(taskset: TaskSet) -> Tokenizer:
    characters = sorted({char for row in taskset.examples for char in row.instruction})
    words = [*SPECIALS, *characters, *taskset.atoms]
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>")
    )
    longest_first = sorted(taskset.atoms, key=len, reverse=True)
    pieces = "|".join([*map(re.escape, longest_first), r"[\s\S]"])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pieces), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


def _byte_pairs(taskset: TaskSet, vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_texts(taskset), trainer)
    return tokenizer


def _training_texts(taskset: TaskSet) -> Iterator[str]:
    """Every text of the training rows once: repeats would only weigh the commonest wording."""
    seen: dict[str, None] = {}
    for row in taskset.split("train"):
        seen.update(dict.fromkeys((row.instruction, row.input, row.output)))
    yield from seen
