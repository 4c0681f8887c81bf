"""Tokenizers: one symbol, one token for synthetic sets; byte-level pieces for natural text."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from nucleate._core.arguments import check_whole
from nucleate._core.errors import BadInput
from nucleate.tasks._taskset import TaskSet, canonical_hash

SPECIALS = ("<pad>", "<sep>", "<cue>", "<end>", "<unk>")
_BYTES = 256


def train_tokenizer(taskset: TaskSet, vocab_size: int = 2048) -> Tokenizer:
    """Make the tokenizer of a set; text goes in and comes out unchanged, nothing is ever added.

    Args:
        taskset: the set; only training rows are learned from where there is anything to learn.
        vocab_size: the largest number of tokens for natural text; a synthetic set has as many as
            it has symbols.

    Returns:
        A tokenizer with `<pad>` = 0, `<sep>`, `<cue>`, `<end>`, `<unk>` as the first five ids.

    Raises:
        BadInput: `vocab_size` has no room for the 256 bytes and the five specials.
    """
    if not isinstance(taskset, TaskSet):
        raise BadInput(f"taskset is {taskset!r}: make one with nucleate.tasks.")
    check_whole("vocab_size", vocab_size)
    if taskset.atoms and taskset.outputs != "natural":
        return _symbols(taskset)
    smallest = _BYTES + len(SPECIALS)
    if vocab_size < smallest:
        raise BadInput(f"vocab_size is {vocab_size}: natural text needs at least {smallest}.")
    return _with_atoms(_byte_pairs(taskset, vocab_size), taskset)


def adapt_tokenizer(tokenizer: Tokenizer, taskset: TaskSet) -> Tokenizer:
    """Give a trained model's tokenizer the special tokens that prompts are made with.

    Args:
        tokenizer: of the model; it is left as it is.
        taskset: whose answers of one token each, if it has any, are added as well.

    Returns:
        A copy, with those of `<pad>`, `<sep>`, `<cue>`, `<end>`, `<unk>` that it lacked behind its
        own tokens: a model that reads them needs that many more rows of its embedding.
    """
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    copy.add_special_tokens([token for token in SPECIALS if copy.token_to_id(token) is None])
    return _with_atoms(copy, taskset)


def _with_atoms(tokenizer: Tokenizer, taskset: TaskSet) -> Tokenizer:
    """Add the answers that are one token each; as no special ones, so that they decode to text."""
    tokenizer.add_tokens([AddedToken(atom, normalized=False) for atom in taskset.atoms])
    return tokenizer


def tokenizer_hash(tokenizer: Any, *, chat: bool = False) -> str:
    """Return a SHA-256 of what decides into which tokens a tokenizer cuts a text.

    Padding and truncation are settings of a call and do not enter it, nor does the padding token.

    Args:
        tokenizer: one of the tokenizers library (or a Hugging Face one around it), whose JSON form
            is hashed; or a slow Hugging Face one, whose class, vocabulary and special tokens are.
        chat: whether the chat template enters the hash as well.

    Returns:
        64 hexadecimal digits.

    Raises:
        BadInput: it is not a tokenizer, or it has no chat template and `chat` asks for one.
    """
    backend = backend_of(tokenizer)
    own = _slow_hash(tokenizer) if backend is None else _fast_hash(backend)
    return canonical_hash([own, chat_template(tokenizer)]) if chat else own


def backend_of(tokenizer: Any) -> Tokenizer | None:
    """Return the fast tokenizer inside; None for a slow one; BadInput if it is not a tokenizer."""
    if isinstance(tokenizer, Tokenizer):
        return tokenizer
    if not callable(tokenizer) or not hasattr(tokenizer, "convert_tokens_to_ids"):
        raise BadInput(
            f"the tokenizer is of type {type(tokenizer).__name__}: give a Hugging Face tokenizer "
            "or an encoder."
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend if isinstance(backend, Tokenizer) else None


def chat_template(tokenizer: Any) -> str:
    """Return the chat template of a Hugging Face tokenizer; BadInput if there is none to use."""
    if not getattr(tokenizer, "chat_template", None):
        raise BadInput(
            f"the tokenizer {_name(tokenizer)} has no chat template, which rows of messages need: "
            "set its chat_template; rows of instructions can take a template such as "
            "'{instruction}\\n{input}\\n{output}' instead."
        )
    try:
        return str(tokenizer.get_chat_template())
    except ValueError as error:
        raise BadInput(
            f"the tokenizer {_name(tokenizer)} has several chat templates and none called "
            "'default': set its chat_template to one of them."
        ) from error


def _name(tokenizer: Any) -> str:
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)


def _fast_hash(tokenizer: Tokenizer) -> str:
    if tokenizer.padding is not None or tokenizer.truncation is not None:
        tokenizer = Tokenizer.from_str(tokenizer.to_str())
        tokenizer.no_padding()
        tokenizer.no_truncation()
    text = tokenizer.to_str()
    if tokenizer.post_processor is not None and _adds_nothing(json.loads(text)["post_processor"]):
        # transformers puts such a one into every tokenizer that it wraps.
        tokenizer = Tokenizer.from_str(text)
        tokenizer.post_processor = None
        text = tokenizer.to_str()
    return hashlib.sha256(text.encode()).hexdigest()


def _adds_nothing(post_processor: dict[str, Any]) -> bool:
    return post_processor["type"] == "TemplateProcessing" and not post_processor["special_tokens"]


def _slow_hash(tokenizer: Any) -> str:
    special = {
        name: str(token)
        for name, token in tokenizer.special_tokens_map.items()
        if name != "pad_token"
    }
    return canonical_hash([type(tokenizer).__name__, tokenizer.get_vocab(), special])


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
