"""The ways in which nucleate stops, each with the exit code that the command line gives it."""


class BadInput(ValueError):
    """The user's input cannot be used: one sentence that names the thing, the value, the remedy."""

    exit_code = 2


class RunFailed(RuntimeError):
    """A run ended early (a loss that is not finite, a full disk); what was recorded is kept."""

    exit_code = 4


class Interrupted(Exception):
    """The user stopped the run; running the same command again resumes it."""

    exit_code = 130
