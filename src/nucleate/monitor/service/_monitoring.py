"""Files for those who watch the service: a dashboard for Grafana, alert rules for Prometheus."""

from importlib.resources import files
from pathlib import Path

from nucleate._core.errors import BadInput
from nucleate.runs import write_whole

NAMES = ("dashboard.json", "alerts.yml", "alerts_test.yml")


def write_monitoring(folder: Path | str) -> list[Path]:
    """Write the dashboard, the alert rules and their tests.

    Args:
        folder: made where it is not there; files of these names are replaced.

    Returns:
        the files.

    Raises:
        BadInput: the folder cannot be written.
    """
    folder = Path(folder)
    try:
        for name in NAMES:
            data = (files("nucleate.monitor.service") / "monitoring" / name).read_bytes()
            write_whole(folder / name, data)
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be written ({error.strerror or error}); name another folder"
        ) from error
    return [folder / name for name in NAMES]
