from ._listing import check_runs as check_runs
from ._listing import find_runs as find_runs
from ._serve import bind as bind
from ._serve import is_loopback as is_loopback
from ._serve import serve as serve
from ._server import make_app as make_app
