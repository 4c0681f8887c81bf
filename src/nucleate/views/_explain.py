"""The fixed texts of the report: how to read it and what can mislead."""

METRICS = {
    "ARI": "Adjusted Rand index of k-means clusters against a label, k = the number of classes: 0 "
    "is what chance gives on average, 1 is perfect agreement.",
    "AMI": "Adjusted mutual information of the same clusters: 0 is chance on average, 1 perfect.",
    "separation, CDNV": "Squared distance between class means over the spread within classes, "
    "with the bias of few rows removed; CDNV is its reciprocal. It has no threshold, so it rises "
    "earlier and more evenly than ARI.",
    "nearest centroid (NCM)": "Share of rows whose nearest class mean, computed on other "
    "instruction strings, is that of their class.",
    "RankMe": "Effective number of dimensions that the states fill.",
    "raw, conditioned": "Raw states as they are; conditioned states with each input's mean "
    "removed, so that what is left is not which input it was.",
}
NULLS = {
    "N0": "The 99 % point of the same number with tasks permuted over instruction strings: what "
    "any grouping of this many strings would give.",
    "N1": "The highest of several untrained models: what the wiring gives without learning.",
    "N2": "The same number for a bag of the tokens: what the surface of the text gives away.",
    "chance": "For accuracy: how often a task drawn at random has the right answer on the input. "
    "For a shift: how often a random task's answer is that of the task aimed at.",
    "random direction, random subspace": "A shift of the same length in a random direction, and "
    "the removal of a random subspace of the same rank: damage that has nothing to do with tasks.",
}
WORDS = {
    "clusters": "The ARI and the lower end of its interval exceed all three nulls; undecided where "
    "they exceed some of them only or where one is missing.",
    "onset": "The first recorded step from which a series stays above its null band until the end; "
    "the interval is over bootstraps of instruction strings.",
    "shift": "mu_B − mu_A, the difference of two task means, is added to the state; counted is how "
    "often the model then gives task B's answer. Means come from inputs that are not tested.",
    "erase": "The span of the task means is removed from the state; counted is the accuracy lost.",
    "present but not used": "Clusters are there, and neither does anything beyond its controls.",
    "used without clusters": "Shifting or erasing acts beyond its controls, though no clusters are "
    "seen.",
    "absent": "No clusters, and neither does anything beyond its controls.",
}
FOOLS = (
    "With outputs of each task's own, states near the top cluster by answer, and the answer gives "
    "the task away: look at the column “output” beside “task”.",
    "An embedding that stays flat at the last prompt token is no finding: it sees one token, which "
    "is the same for all tasks.",
    "ARI of k-means is a threshold device. A separation that grows evenly looks like a jump in "
    "ARI; judge abruptness by the separation in the tables.",
    "Before training ARI can already exceed N0, because similar strings have similar states. N1 "
    "and N2 are there for that.",
    "The stream that the text speaks of is chosen on one half of the instruction strings; every "
    "ARI against task that is shown or judged is that of the other half. The largest effect of an "
    "intervention is a maximum over places; its interval allows for that.",
    "What is first in time need not be the cause, and one run is one seed. Only the interventions "
    "speak of causes.",
    "An intervention moves states to where training may never have put them. What works only far "
    "away from the data says little of what the model does by itself.",
    "Pictures are planes fitted to the last step. No plane separates twenty tasks at once, and a "
    "step before may have structure outside it. Numbers never come from pictures.",
)
