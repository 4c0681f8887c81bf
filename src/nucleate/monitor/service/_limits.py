"""What a service takes at most, who may ask, and why a request is refused."""

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path

from nucleate._core.errors import BadInput

TOKEN_VARIABLE = "NUCLEATE_TOKEN"
_SHORTEST_TOKEN = 16


class Refused(Exception):
    """A request that is not answered as it asks: the status and one sentence for the client."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True)
class Limits:
    """What a request may be at most; together they bound the memory of the service.

    Args:
        body: bytes of a body.
        rows: rows of a request.
        text: characters of a text.
        at_once: score requests that are held at a time; one more is told to come again.
        body_seconds: in which a body must have arrived.
        connections: open at a time; further ones are answered 503.

    Raises:
        BadInput: one of them is below 1, the seconds not above 0.

    Notes:
        At most `at_once` times `body` bytes of bodies are held, 256 MiB by default.
    """

    body: int = 8 * 2**20
    rows: int = 10_000
    text: int = 20_000
    at_once: int = 32
    body_seconds: float = 30.0
    connections: int = 1_000

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= (1 if name != "body_seconds" else 1e-3):
                raise BadInput(f"the limit {name} is {value}; give at least 1")


@dataclass(frozen=True)
class Token:
    """A shared secret, of which only the hash is kept.

    Raises:
        BadInput: it is shorter than 16 characters.
    """

    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < _SHORTEST_TOKEN:
            raise BadInput(
                f"the token has {len(self.secret)} characters; give at least {_SHORTEST_TOKEN}, "
                "such as those of `openssl rand -base64 24`"
            )
        object.__setattr__(self, "secret", _digest(self.secret.encode()))

    def allows(self, authorization: str | None) -> bool:
        """Whether an `Authorization` header carries the token; takes as long for any wrong one."""
        scheme, _, given = (authorization or "").partition(" ")
        # Of hashes, so that not even the length of the token shows in the time.
        same = hmac.compare_digest(_digest(given.strip().encode("latin-1", "replace")), self.secret)
        return same and scheme.lower() == "bearer"


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


def read_token(file: Path | None = None) -> Token | None:
    """The token of a file, or else of the environment variable NUCLEATE_TOKEN.

    Args:
        file: its first line is the token.

    Returns:
        the token, or None where neither is given.

    Raises:
        BadInput: the file cannot be read, or the token is shorter than 16 characters.
    """
    if file is None:
        given = os.environ.get(TOKEN_VARIABLE)
        return None if given is None else Token(given.strip())
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadInput(f"the token file {file} cannot be read ({why})") from error
    return Token(lines[0].strip() if lines else "")
