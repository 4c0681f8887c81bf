from .atlas import Atlas as Atlas
from .atlas import Reference as Reference
from .atlas import Scores as Scores
from .atlas import fit_atlas as fit_atlas
from .atlas import text_hash as text_hash
