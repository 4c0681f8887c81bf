"""Training: models from transformers configs, the study's training loop, regularizers."""

from nucleate.training._batches import Batch as Batch
from nucleate.training._batches import Batches as Batches
from nucleate.training._checkpoint import load_weights as load_weights
from nucleate.training._loop import Trained as Trained
from nucleate.training._loop import TrainingConfig as TrainingConfig
from nucleate.training._loop import device_of as device_of
from nucleate.training._loop import train as train
from nucleate.training._model import ModelConfig as ModelConfig
from nucleate.training._model import build_model as build_model
from nucleate.training.regularizers import ManipulationCheck as ManipulationCheck
from nucleate.training.regularizers import RegularizedTrainerMixin as RegularizedTrainerMixin
from nucleate.training.regularizers import Regularizer as Regularizer
from nucleate.training.regularizers import check_regularizer as check_regularizer
from nucleate.training.regularizers import manipulation_check as manipulation_check
from nucleate.training.regularizers import shuffle_over_strings as shuffle_over_strings
