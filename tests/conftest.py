"""Every test runs with shapes checked: jaxtyping annotations are enforced by beartype."""

import atexit
import os
import shutil
import tempfile

# Before torch is imported: two workers of one thread each beat one worker of two.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")

from jaxtyping import install_import_hook

install_import_hook("nucleate", "beartype.beartype")

# No test reads or fills the cache of whoever runs it.
os.environ["NUCLEATE_CACHE"] = tempfile.mkdtemp(prefix="nucleate-tests-")
atexit.register(shutil.rmtree, os.environ["NUCLEATE_CACHE"], ignore_errors=True)


def pytest_addoption(parser):
    parser.addoption("--write-tables", action="store_true", help="write tables into docs/")


# Fixtures that tests of several rooms share; imported after the hook above.
pytest_plugins = ["clocks", "crossed", "made_views", "series", "task_sets"]
