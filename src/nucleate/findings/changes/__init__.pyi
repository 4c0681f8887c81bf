from ._cluster_changes import ChangeWord as ChangeWord
from ._cluster_changes import ClusterChange as ClusterChange
from ._cluster_changes import ClusterChanges as ClusterChanges
from ._cluster_changes import cluster_changes as cluster_changes
from ._run_changes import RunChanges as RunChanges
from ._run_changes import labeled_states as labeled_states
from ._run_changes import run_changes as run_changes
from ._string_means import LabeledStates as LabeledStates
