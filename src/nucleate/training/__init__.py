"""Training: models from transformers configs, the study's training loop, regularisers."""

from nucleate.training._batches import Batch as Batch
from nucleate.training._batches import Batches as Batches
from nucleate.training._checkpoint import load_weights as load_weights
from nucleate.training._loop import Trained as Trained
from nucleate.training._loop import TrainingConfig as TrainingConfig
from nucleate.training._loop import device_of as device_of
from nucleate.training._loop import train as train
from nucleate.training._model import ModelConfig as ModelConfig
from nucleate.training._model import build_model as build_model
from nucleate.training._regularised_study import check_regulariser as check_regulariser
from nucleate.training._regularised_trainer import (
    RegularisedTrainerMixin as RegularisedTrainerMixin,
)
from nucleate.training._regulariser import Regulariser as Regulariser
from nucleate.training._regulariser_check import ManipulationCheck as ManipulationCheck
from nucleate.training._regulariser_check import manipulation_check as manipulation_check
from nucleate.training._regularising import shuffle_over_strings as shuffle_over_strings
