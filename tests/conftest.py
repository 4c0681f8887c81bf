"""Every test runs with shapes checked: jaxtyping annotations are enforced by beartype."""

import os

# Before torch is imported: two workers of one thread each beat one worker of two.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")

from jaxtyping import install_import_hook

install_import_hook("nucleate", "beartype.beartype")


def pytest_addoption(parser):
    parser.addoption("--write-tables", action="store_true", help="write tables into docs/")


# Fixtures that tests of several rooms share; imported after the hook above.
pytest_plugins = ["clocks", "crossed", "made_views", "series", "task_sets"]
