"""Texts by their hashes: which split a text belongs to, and whether it has been seen before."""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from nucleate._core.errors import BadInput

SPLITS = ("place", "fit", "detector", "calibration", "reference")
_DIGITS = 16


def text_hash(text: str) -> str:
    """The hash that stands for a text: the first 64 bits of SHA-256, as 16 hexadecimal digits.

    Case, Unicode form and white space do not count, so that the same wording is never two texts.
    A hash hides a text from a glance, not from somebody who can guess the text and hash it too.

    Args:
        text: of a request or a training row.
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def splits_of(
    hashes: Sequence[str], shares: Mapping[str, float], seed: int
) -> Shaped[np.ndarray, "row"]:
    """The split of each text, by its hash and the seed alone: the same text is never in two.

    Args:
        hashes: of the texts, as `text_hash` makes them.
        shares: of `SPLITS`, from 0 (what is not named has none), with the sum 1.
        seed: another one gives other splits.

    Raises:
        BadInput: shares of other splits, negative ones, or another sum.
    """
    if set(shares) != set(SPLITS) or min(shares.values()) < 0:
        raise BadInput(
            f"shares are {dict(shares)}; give one from 0 for each of {', '.join(SPLITS)}"
        )
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise BadInput(f"shares add up to {sum(shares.values()):g}; make it 1")
    edges = np.cumsum([shares.get(name, 0) for name in SPLITS])[:-1]
    drawn = [hashlib.sha256(f"{seed}:{each}".encode()).digest()[:8] for each in hashes]
    uniform = np.array([int.from_bytes(each, "big") / 2**64 for each in drawn])
    return np.array(SPLITS)[np.searchsorted(edges, uniform, side="right")]
