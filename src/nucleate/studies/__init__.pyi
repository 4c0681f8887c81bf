from ._config import ReproduceConfig as ReproduceConfig
from ._config import resolve as resolve
from ._reproduce import Reproduction as Reproduction
from ._reproduce import default_folder as default_folder
from ._reproduce import reproduce as reproduce
