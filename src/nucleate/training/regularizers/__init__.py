"""Regularizers: losses that promote or suppress task clusters while a model is trained."""

from nucleate.training.regularizers._check import ManipulationCheck as ManipulationCheck
from nucleate.training.regularizers._check import manipulation_check as manipulation_check
from nucleate.training.regularizers._penalty import shuffle_over_strings as shuffle_over_strings
from nucleate.training.regularizers._regularizer import Regularizer as Regularizer
from nucleate.training.regularizers._study import check_regularizer as check_regularizer
from nucleate.training.regularizers._trainer import (
    RegularizedTrainerMixin as RegularizedTrainerMixin,
)
