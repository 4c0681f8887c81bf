"""One plain sentence for each result of this room, made from its numbers and saying no more."""

from nucleate.dynamics import (
    FEWEST_SEEDS,
    PHASE_MARGIN,
    PHASE_WIDTH,
    Abruptness,
    Association,
    AxisFit,
    ChangePoints,
    MixedFit,
    Onset,
    Order,
    SeedOnset,
)

_SIGNIFICANT = 0.05


def describe_onset(
    found: Onset | SeedOnset, name: str = "the value", first_step: float | None = None
) -> str:
    """Say since when something stays above chance, in one run or over seeds.

    Args:
        found: what `onset` or `onset_over_seeds` gave.
        name: what it is the onset of, a singular noun with its article.
        first_step: of the series. An interval that begins there says only how late it can be.
    """
    if isinstance(found, SeedOnset):
        return _describe_seeds(found, name)
    share = "" if found.found is None else f"; {found.found:.0%} of the resampled ones end above it"
    if found.step is None:
        return _sentence(f"no step was found from which {name} stays above its null band{share}")
    if found.low is None or found.high is None:
        how = "no interval: nothing was resampled"
    elif first_step is not None and found.low <= first_step:
        return _sentence(
            f"{name} rises above its null band for good no later than step {found.high:g} (95 % "
            "bound, this run only)"
        )
    else:
        how = f"95 % interval {found.low:g} to {found.high:g}, this run only"
    return _sentence(f"{name} stays above its null band from step {found.step} on ({how})")


def _describe_seeds(found: SeedOnset, name: str) -> str:
    have = f"{found.seeds - found.without} of {_count(found.seeds, 'seed')} have an onset"
    if found.level is None:
        interval = f"no interval below {FEWEST_SEEDS} seeds"
    else:
        end = "an open end" if found.high is None else f"{found.high:g}"
        interval = f"{found.level:.1%} interval {found.low:g} to {end}"
    if found.median is None:
        return _sentence(f"the median seed shows no onset of {name} ({have}; {interval})")
    return _sentence(
        f"in the median seed {name} stays above its null band from step {found.median:g} on "
        f"({interval}; {have})"
    )


def describe_order(order: Order, first: str = "the first", second: str = "the second") -> str:
    """Say which onset is earlier, only where sign test and interval both decide it.

    Args:
        order: what `onset_order` gave.
        first, second: what the two are onsets of.
    """
    numbers = (
        f"{first} earlier in {order.first_earlier} of {_count(order.seeds, 'seed')}, {second} in "
        f"{order.second_earlier}, {order.ties} at the same recorded step, {order.neither} without "
        f"either onset, sign test p {_p(order.p)}, {_median_difference(order)}"
    )
    if order.verdict == "undecided":
        few = f"; below {FEWEST_SEEDS} seeds nothing can be decided"
        return _sentence(
            f"whether {first} or {second} has the earlier onset is undecided "
            f"({numbers}{few if order.seeds < FEWEST_SEEDS else ''})"
        )
    early, late = (first, second) if order.verdict == "first" else (second, first)
    return _sentence(
        f"the onset of {early} is earlier than that of {late} ({numbers}); "
        "an order in time is no cause"
    )


def _median_difference(order: Order) -> str:
    unit = f" {order.unit}s"
    middle = "unknown" if order.median is None else f"{order.median:+g}{unit}"
    if order.level is None:
        return f"median difference {middle}, no interval"
    low = "open" if order.low is None else f"{order.low:+g}"
    high = "open" if order.high is None else f"{order.high:+g}"
    return f"median difference {middle}, {order.level:.1%} interval {low} to {high}"


def describe_abruptness(found: Abruptness, name: str = "the value") -> str:
    """Say how long a change takes and whether it is like a phase change.

    Args:
        found: what `abruptness` gave.
        name: what changes.
    """
    linear, log = found.linear, found.log
    if "constant" in (linear.best, log.best):
        return _sentence(f"no change of {name} was found: a constant fits as well as any curve")
    curves = f"on linear steps {_curve(linear)}; on logarithmic steps {_curve(log)}"
    if found.phase_like:
        return _sentence(f"the change of {name} is phase-like: {curves}")
    return _sentence(
        f"the change of {name} is not shown to be phase-like, which needs a logistic curve that "
        f"wins by more than {PHASE_MARGIN:g} and a width below {PHASE_WIDTH:g} on both axes: "
        f"{curves}"
    )


def _curve(fit: AxisFit) -> str:
    width = "unknown" if fit.width is None else f"{fit.width:.2f} of the axis"
    if fit.best == "logistic":
        return f"a logistic curve wins by {fit.margin:.0f} in BIC, width {width}"
    return (
        f"a {fit.best} curve fits best, the logistic one {-fit.margin:.0f} in BIC behind, "
        f"width {width}"
    )


def describe_change_points(found: ChangePoints, name: str = "the value") -> str:
    """Say where the level changes, beside how many points a smooth ramp has.

    Args:
        found: what `change_points` gave.
        name: whose level it is.
    """
    count = len(found.points)
    if not count:
        return _sentence(f"no change points of {name} beyond those that its noise shows")
    if count < found.ramp_low:
        compared = "fewer than"
    else:
        compared = "more than" if count > found.ramp_high else "as many as"
    where = ", ".join(map(str, found.points))
    return _sentence(
        f"{name} has {_count(count, 'change point')} (at {_plural('step', count)} {where}), "
        f"{compared} straight ramps of the same rise and noise, which have {found.ramp_low} to "
        f"{found.ramp_high}"
    )


def describe_association(
    found: Association, first: str = "the first", second: str = "the second"
) -> str:
    """Say whether two series move together about their trends.

    Args:
        found: what `association` gave.
        first, second: names of the two.
    """
    if found.r is None:
        return _sentence(
            f"nothing is left of {first} or {second} without the trend, so no association can be "
            f"tested (raw r = {found.raw:.2f})"
        )
    numbers = (
        f"r = {found.r:.2f}, p {_p(found.p)}, {found.steps} steps; with the trends r = "
        f"{found.raw:.2f}, which unrelated curves reach as well"
    )
    if found.p >= _SIGNIFICANT:
        return _sentence(
            f"no association of {first} and {second} about their trends was found ({numbers})"
        )
    way = "together" if found.r > 0 else "in opposite directions"
    return _sentence(
        f"{first} and {second} move {way} about their trends ({numbers}); "
        "an association is no cause, and this is one run"
    )


def describe_between_tasks(fit: MixedFit) -> str:
    """Say whether tasks with more of the predictor have more of the outcome.

    Args:
        fit: what `between_tasks` gave.
    """
    main = fit.adjusted
    numbers = f"{_coefficient(fit, adjusted=True)}; {main.model}"
    if fit.covariates:
        numbers += f"; without covariates {_coefficient(fit, adjusted=False)}"
    if main.note:
        numbers += f"; note: {main.note}"
    numbers += f"; {_count(fit.tasks, 'task')}, {_count(fit.seeds, 'seed')}"
    given = f" at given {', '.join(fit.covariates)}" if fit.covariates else ""
    if main.p >= _SIGNIFICANT or main.low <= 0 <= main.high:
        return _sentence(
            f"whether {fit.outcome} goes with {fit.predictor} between tasks{given} is undecided "
            f"({numbers})"
        )
    way = "higher" if main.value > 0 else "lower"
    return _sentence(
        f"tasks of higher {fit.predictor} have {way} {fit.outcome}{given} ({numbers}); "
        "an association is no cause"
    )


def _coefficient(fit: MixedFit, *, adjusted: bool) -> str:
    found = fit.adjusted if adjusted else fit.alone
    return f"{found.value:+.2f} SD per SD [{found.low:+.2f}, {found.high:+.2f}], p {_p(found.p)}"


def _p(value: float) -> str:
    """Three digits, and more where those would hide on which side of .05 it is."""
    if value < 0.001:
        return "< .001"
    digits = 6 if abs(value - _SIGNIFICANT) < 0.0005 else 3
    return f"= {value:.{digits}f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {_plural(noun, number)}"


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
