"""The command line: one module per verb."""

from nucleate.cli._main import main as main
