"""N2: what the tokens alone give away."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nucleate.prompts import PromptSet


def bag_of_tokens(
    prompts: PromptSet, position: str, rows: Int[np.ndarray, "row"]
) -> tuple[Float[Tensor, "row token"], Float[Tensor, "row token"]]:
    """Count the tokens up to and including a position: plain, and as TF-IDF.

    Order is lost on purpose: a state that is only a sum of its tokens groups rows just so. A
    model that reads the order of tokens can beat it without knowing any task.
    """
    counts = np.zeros((len(rows), int(prompts.ids.max()) + 1), dtype=np.float32)
    ends = prompts.ends(position)
    for index, row in enumerate(rows):
        np.add.at(counts[index], prompts.ids[row, : ends[row]], 1)
    counts = counts[:, counts.any(0)]
    rarity = np.log(len(rows) / (counts > 0).sum(0)) + 1
    weighted = counts * rarity
    weighted /= np.linalg.norm(weighted, axis=1, keepdims=True)
    return torch.from_numpy(counts), torch.from_numpy(weighted.astype(np.float32))
