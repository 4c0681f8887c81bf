from ._atlas import Atlas as Atlas
from ._fit import fit_atlas as fit_atlas
from ._hashes import text_hash as text_hash
from ._rows import Bank as Bank
from ._rows import Reference as Reference
from ._scores import Scores as Scores
