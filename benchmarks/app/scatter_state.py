"""Run by the peers' interpreter: what jupyter-scatter's Python sends to its widget, as files.

    python scatter_state.py COORDINATES FOLDER

COORDINATES is an .npz with x `[step row k]` and the `task` of each row; the first two coordinates
are shown. Into FOLDER go the widget's own bundle, its first state, and what each later step sends.
"""

import base64
import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jscatter
import numpy as np
import pandas as pd


def plain(value: Any) -> Any:
    """JSON, with bytes in base64 where the widget would get a buffer."""
    if isinstance(value, memoryview | bytes):
        return {"base64": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def main() -> None:
    data, folder = np.load(sys.argv[1]), Path(sys.argv[2])
    x = data["x"]
    columns = {
        f"{axis}{step}": x[step, :, at] for step in range(len(x)) for at, axis in enumerate("xy")
    }
    frame = pd.DataFrame(columns | {"task": pd.Categorical([f"t{code}" for code in data["task"]])})
    scatter = jscatter.Scatter(data=frame, x="x0", y="y0", color_by="task", height=396, width=750)
    widget = scatter.widget
    hidden = {"layout", "comm", "tabbable", "tooltip", "data"}
    names = [name for name in widget.keys if not name.startswith("_") and name not in hidden]
    state = {name: plain(value) for name, value in widget.get_state(names).items()}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")

    sent: dict[str, Any] = {}

    def heard(change: Any) -> None:
        if change["name"] in state:
            sent[change["name"]] = plain(widget.get_state(change["name"])[change["name"]])

    widget.observe(heard)
    for step in range(len(x)):
        sent.clear()
        scatter.xy(f"x{step}", f"y{step}", animate=False)
        (folder / f"step{step}.json").write_text(json.dumps(sent), encoding="utf-8")
    source = Path(jscatter.__file__).parent
    for name in ("bundle.js", "bundle.css"):
        shutil.copy(source / name, folder / name)
    print(json.dumps({"version": version("jupyter-scatter"), "changes": sorted(sent)}))


if __name__ == "__main__":
    main()
