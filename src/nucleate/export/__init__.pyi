from ._export import Exported as Exported
from ._export import export_run as export_run
from ._export import scalars_of as scalars_of
from ._trackers import check_export as check_export
