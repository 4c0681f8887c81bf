from ._check import check_settings as check_settings
from ._check import check_tasks as check_tasks
from ._check import default_folder as default_folder
from ._config import ReproduceConfig as ReproduceConfig
from ._config import resolve as resolve
from ._execute import start_workers as start_workers
from ._reproduce import Reproduction as Reproduction
from ._reproduce import reproduce as reproduce
