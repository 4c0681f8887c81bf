"""The command line: one module a verb."""

from nucleate.cli._main import main as main
