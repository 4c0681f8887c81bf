from ._rules import judge_claim as judge_claim
from ._verdict import CLAIM_RULES as CLAIM_RULES
from ._verdict import FEWEST_SEEDS_CLAIM as FEWEST_SEEDS_CLAIM
from ._verdict import Arms as Arms
from ._verdict import ClaimResult as ClaimResult
from ._verdict import ClaimVerdict as ClaimVerdict
from ._verdict import Condition as Condition
from ._verdict import RunNumbers as RunNumbers
