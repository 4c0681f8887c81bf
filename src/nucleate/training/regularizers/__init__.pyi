from ._check import ManipulationCheck as ManipulationCheck
from ._check import manipulation_check as manipulation_check
from ._penalty import shuffle_over_strings as shuffle_over_strings
from ._regularizer import Regularizer as Regularizer
from ._study import check_regularizer as check_regularizer
from ._trainer import RegularizedTrainerMixin as RegularizedTrainerMixin
