"""Runs: states, and the plain folder that holds everything of one training run."""

from nucleate.runs._files import publish_folder as publish_folder
from nucleate.runs._files import write_json as write_json
from nucleate.runs._files import write_whole as write_whole
from nucleate.runs._journal import Journal as Journal
from nucleate.runs._run import PackedSnapshot as PackedSnapshot
from nucleate.runs._run import Run as Run
from nucleate.runs._run import pack_snapshot as pack_snapshot
from nucleate.runs._states import States as States
from nucleate.runs._states import index_of as index_of
from nucleate.runs._summary import Accuracy as Accuracy
from nucleate.runs._summary import Clusters as Clusters
from nucleate.runs._summary import Controls as Controls
from nucleate.runs._summary import NullBand as NullBand
from nucleate.runs._summary import OnsetSummary as OnsetSummary
from nucleate.runs._summary import Summary as Summary
from nucleate.runs._summary import Used as Used
from nucleate.runs._summary import Verdict as Verdict
