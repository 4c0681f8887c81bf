"""Sentence encoders: optional packages whose vectors are tried beside states and words."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nucleate._core.errors import BadInput


def load_encoder(name: str) -> Callable[[Sequence[str]], np.ndarray]:
    """A function from texts to vectors, by a library that is installed.

    Args:
        name: a folder, taken by model2vec where that can read it; or by sentence-transformers,
            for which a name on the hub will do whose files are in the local cache.

    Raises:
        BadInput: neither library is installed, or none can load it.
    """
    problems = []
    for load in (_static, _transformer):
        try:
            return load(name)
        except ImportError as error:
            problems.append(f"{error.name} is not installed")
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            problems.append(said)
    raise BadInput(
        f"the encoder {name} cannot be loaded ({'; '.join(problems)}); pip install "
        "nucleate[encoder], and name a folder with its weights"
    )


def _static(name: str) -> Callable[[Sequence[str]], np.ndarray]:
    from model2vec import StaticModel

    if not Path(name).is_dir():
        raise ValueError("no folder has that name")
    model = StaticModel.from_pretrained(name)
    return lambda texts: np.asarray(model.encode(list(texts)), dtype=np.float32)


def _transformer(name: str) -> Callable[[Sequence[str]], np.ndarray]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(name, local_files_only=True)
    return lambda texts: np.asarray(
        model.encode(list(texts), show_progress_bar=False), dtype=np.float32
    )
