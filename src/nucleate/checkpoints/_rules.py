"""The rules by which a series of checkpoints is found wanting; each is a function of numbers.

They are written so that a training that does nothing odd passes them: drifting, wandering or
standing in noise, saved at even or at growing distances, in full or in half precision.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float

Distances = Float[np.ndarray, "checkpoint checkpoint"]

# How many times longer a way must be than another to be out of place. Noise around one place
# gives 1, a random walk and a steady drift less.
FAR = 2.0
# Exchanging two checkpoints must shorten the ways to them by this factor: to neighbors, 0.5 in a
# steady drift, 0.71 in a random walk, 1 in noise around one place; less the farther apart they are.
SWAPPED = 0.8
# And the ways to neither may become longer than this: else one odd checkpoint would be moved to an
# end, where it has one neighbor only.
_LONGER = 2.5
# Of two at an end that are exchanged, one is between the other and the rest; one that is odd is as
# far from both.
_NEAR = 0.9
_MOST_EXCHANGES = 3
# How much faster than usual the weights must move to the first or the last checkpoint.
FAST = 10.0
# How far a norm must be from both neighbors' norms.
NORM = 3.0
_FEWEST_FOR_A_MEDIAN = 5


def same_weights(hashes: Sequence[dict[str, str]]) -> list[tuple[int, ...]]:
    """Groups of checkpoints whose tensors are all bit for bit the same."""
    groups: dict[frozenset[tuple[str, str]], list[int]] = defaultdict(list)
    for index, tensors in enumerate(hashes):
        groups[frozenset(tensors.items())].append(index)
    return [tuple(g) for tensors, g in groups.items() if len(g) > 1 and tensors]


def shared_tensors(
    hashes: Sequence[dict[str, str]], shapes: dict[str, tuple[int, ...]]
) -> dict[tuple[int, ...], list[str]]:
    """Groups of checkpoints that share some tensors bit for bit and not all, with the tensors.

    Left out: what never changes (frozen weights, buffers); what stands still from the first
    checkpoint on or up to the last (frozen for a while, or not yet moved at its precision); and
    groups that share no matrix, since norm scales and biases in half precision do stand still.
    """
    found: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name in shapes:
        having = [index for index, tensors in enumerate(hashes) if name in tensors]
        groups: dict[str, list[int]] = defaultdict(list)
        for place, index in enumerate(having):
            groups[hashes[index][name]].append(place)
        for places in groups.values():
            unbroken = places[-1] - places[0] == len(places) - 1
            at_an_end = places[0] == 0 or places[-1] == len(having) - 1
            if len(places) > 1 and not (unbroken and at_an_end):
                found[tuple(having[place] for place in places)].append(name)
    return {
        group: names
        for group, names in found.items()
        if any(len(shapes[name]) > 1 for name in names)
        and any(hashes[a] != hashes[b] for a, b in pairwise(group))
    }


def gaps(steps: Sequence[int]) -> list[tuple[int, ...]]:
    """Steps that are missing, a tuple for each gap in spacing that is otherwise even or geometric.

    Spacing counts as even between the first and the last occurrence of the commonest difference
    (three at least), if half of the intervals in between have it; alike for ratios.
    """
    distinct = sorted(set(steps))
    found = [
        tuple(range(low + int(unit), high, int(unit)))
        for low, high, unit in _odd_intervals(distinct, lambda low, high: Fraction(high - low))
        if (high - low) % unit == 0
    ]
    positive = [step for step in distinct if step > 0]
    for low, high, ratio in _odd_intervals(positive, lambda low, high: Fraction(high, low)):
        inside, step = [], low * ratio
        while step < high:
            inside.append(int(step))
            step *= ratio
        if step == high and ratio > 1:
            found.append(tuple(inside))
    return sorted(set(found))


def _odd_intervals(
    steps: Sequence[int], size: Callable[[int, int], Fraction]
) -> Iterator[tuple[int, int, Fraction]]:
    """Intervals larger than the usual one, inside the range in which the usual one is usual."""
    sizes = [size(low, high) for low, high in pairwise(steps)]
    if not sizes:
        return
    usual, count = Counter(sizes).most_common(1)[0]
    places = [place for place, one in enumerate(sizes) if one == usual]
    if count < 3 or 2 * count < places[-1] - places[0] + 1:
        return
    for place in range(places[0], places[-1]):
        if sizes[place] > usual:
            yield steps[place], steps[place + 1], usual


@dataclass(frozen=True)
class Stretch:
    """Checkpoints that do not lie where their steps say.

    Attributes:
        members: which; beside each other, but for those that are swapped.
        sign: how it shows: `far` from the checkpoints before and after, which are near each
            other; `elsewhere` is one that it is nearer to than to those; `swapped` ones have taken
            each other's places.
        others: the two before and after; if `elsewhere`, the one there and those beside; none if
            `swapped`.
        instead: two that, exchanged, would explain all as well; mostly none.
    """

    members: tuple[int, ...]
    sign: Literal["far", "elsewhere", "swapped"]
    others: tuple[int, ...]
    instead: tuple[int, ...] = ()


def misplaced(distances: Distances, kept: Sequence[int]) -> list[Stretch]:
    """Stretches of checkpoints that are out of place.

    *Swapped*: two checkpoints exchanged make the ways into and out of them shorter by the factor
    `SWAPPED`. *Far*: each member is more than `FAR` times as far from the checkpoint before the
    stretch, and from the one after it, as those two are from each other. *Elsewhere*: the ways
    into the stretch and out of it are both more than `FAR` times as long as the way from a member
    to some checkpoint that is no neighbor.

    One misplaced stretch makes others look so. If exchanging the two that shorten the way most
    (up to three times) puts all right, that is it. Otherwise the one is taken that makes the way
    from the first to the last checkpoint longest for each of its members, or what stands between a
    stretch and its place elsewhere if that makes it longer still. It is taken out (swapped ones
    are put right), and the rest is looked at again.

    Args:
        distances: of all pairs.
        kept: the checkpoints to look at, in order.
    """
    left, found = list(kept), []
    while len(left) > 2:
        local = distances[np.ix_(left, left)]
        swaps, sure = _exchanges(local)
        if swaps and sure:
            found += [Stretch(tuple(left[k] for k in group), "swapped", ()) for group in swaps]
            break
        stretch = _worst(local)
        if stretch is None:
            break
        members = tuple(left[place] for place in stretch.members)
        others = tuple(left[place] for place in stretch.others)
        instead = tuple(left[k] for k in swaps[0]) if len(swaps) == 1 else ()
        found.append(Stretch(members, stretch.sign, others, instead))
        start, end = stretch.members[0], stretch.members[-1] + 1
        left[start:end] = reversed(members) if stretch.sign == "swapped" else ()
    return found


def _exchanges(distances: Distances) -> tuple[list[tuple[int, ...]], bool]:
    """Groups of checkpoints that have taken each other's places, and whether that is sure.

    There are none if that explains not all. It is not sure where leaving out one checkpoint would
    explain it as well, and by less.
    """
    order = np.arange(len(distances))
    for _ in range(_MOST_EXCHANGES):
        pair = _best_exchange(distances[np.ix_(order, order)])
        if pair is None:
            break
        order[list(pair)] = order[list(pair)][::-1]
    right = distances[np.ix_(order, order)]
    if not _in_order(right):
        return [], False
    found, seen = [], set[int]()
    for start in range(len(order)):
        cycle = [start]
        while (after := int(order[cycle[-1]])) != start:
            cycle.append(after)
        if len(cycle) > 1 and start not in seen:
            found.append(tuple(sorted(cycle)))
        seen.update(cycle)
    gain = _way(distances) - _way(right)
    return found, _neighbors(found) or not _one_is_odd(distances, gain)


def _one_is_odd(distances: Distances, gain: float) -> bool:
    """Whether leaving out one checkpoint puts all right and shortens the way more than `gain`."""
    inner = range(1, len(distances) - 1)
    odd = max(inner, key=lambda place: _detour(distances, (place,)))
    rest = np.delete(np.arange(len(distances)), odd)
    return _detour(distances, (odd,)) >= gain and _in_order(distances[np.ix_(rest, rest)])


def _in_order(distances: Distances) -> bool:
    """Whether nothing looks out of place."""
    return next(_signs(distances), None) is None and _best_exchange(distances) is None


def _neighbors(groups: list[tuple[int, ...]]) -> bool:
    """Whether two neighbors are all that was exchanged."""
    return len(groups) == 1 and len(groups[0]) == 2 and groups[0][1] == groups[0][0] + 1


def _way(distances: Distances) -> float:
    """The length of the way past all checkpoints."""
    return float(np.diagonal(distances, 1).sum())


def _best_exchange(distances: Distances) -> tuple[int, int] | None:
    """The two that shorten the way most when exchanged, if they shorten it enough."""
    count = len(distances)
    i, j = np.triu_indices(count, 1)
    # A place before the first and one behind the last, to which there is no way.
    padded = np.zeros((count + 2, count + 2))
    padded[1:-1, 1:-1] = distances
    a, b = i + 1, j + 1
    apart = b > a + 1
    old = np.stack(
        [padded[a - 1, a] + padded[a, a + 1] * apart, padded[b - 1, b] * apart + padded[b, b + 1]]
    )
    new = np.stack(
        [padded[a - 1, b] + padded[b, a + 1] * apart, padded[b - 1, a] * apart + padded[a, b + 1]]
    )
    best = int((old - new).sum(0).argmax())
    first, second = int(i[best]), int(j[best])
    before, after = old[:, best], new[:, best]
    fits = (after <= _LONGER * before).all()
    if second == first + 1 and (first == 0 or second == count - 1):
        fits &= distances[first, second] <= _NEAR * before.sum()
    return (first, second) if fits and after.sum() < SWAPPED * before.sum() else None


def _worst(distances: Distances) -> Stretch | None:
    """The stretch that is taken first."""
    signs = list(_signs(distances))
    if not signs:
        return None
    detour, stretch = max(signs, key=lambda one: (one[0], -one[1].members[0]))
    if stretch.sign == "elsewhere" and _detour(distances, (gap := _gap(stretch)).members) > detour:
        return gap
    return stretch


def _signs(distances: Distances) -> Iterator[tuple[float, Stretch]]:
    """All that looks out of place, each with the detour that it makes a member."""
    yield from _far(distances)
    yield from _near_elsewhere(distances)
    yield from _swapped(distances)


def _far(distances: Distances) -> Iterator[tuple[float, Stretch]]:
    """Stretches that are far from both sides, each with the detour that it makes a member."""
    count = len(distances)
    for i in range(count - 2):
        # Of the members i + 1 ... j - 1, the least distance to j, for every j; alike to i.
        j = np.arange(i + 2, count)
        to_j = np.minimum.accumulate(distances[i + 1 :], axis=0)[j - i - 2, j]
        to_i = np.minimum.accumulate(distances[i, i + 1 :])[j - i - 2]
        for end in j[np.minimum(to_i, to_j) > FAR * distances[i, j]].tolist():
            members = tuple(range(i + 1, end))
            yield _detour(distances, members), Stretch(members, "far", (i, end))


def _near_elsewhere(distances: Distances) -> Iterator[tuple[float, Stretch]]:
    """Stretches that are nearer to a checkpoint elsewhere than to what stands beside them."""
    count = len(distances)
    beyond = np.full((count, count + 2), np.inf)
    beyond[:, :count] = np.minimum.accumulate(distances[:, ::-1], axis=1)[:, ::-1]
    into = np.array([np.inf, *(distances[k, k + 1] for k in range(count - 1)), np.inf])
    for first in range(count):
        last = np.arange(first, count)
        # Of the members first ... last, the least distance to any before `first - 1`, and to any
        # after `last + 1`, for every last.
        left = distances[first:, : max(0, first - 1)].min(axis=1, initial=np.inf)
        right = np.minimum.accumulate(beyond[first:], axis=0)[last - first, last + 2]
        ways = np.minimum(np.minimum.accumulate(left), right)
        for end in last[np.minimum(into[first], into[last + 1]) > FAR * ways].tolist():
            if first > 0 or end < count - 1:
                members = tuple(range(first, end + 1))
                others = [*range(first - 1), *range(end + 2, count)]
                near = others[int(distances[np.ix_(members, others)].min(0).argmin())]
                beside = [k for k in (first - 1, end + 1) if 0 <= k < count]
                stretch = Stretch(members, "elsewhere", (near, *beside))
                yield _detour(distances, members), stretch


def _gap(stretch: Stretch) -> Stretch:
    """What stands between a stretch and the checkpoint that it is near to."""
    near, members = stretch.others[0], stretch.members
    a, b = (near, members[0]) if near < members[0] else (members[-1], near)
    return Stretch(tuple(range(a + 1, b)), "far", (a, b))


def _swapped(distances: Distances) -> Iterator[tuple[float, Stretch]]:
    """Neighbors that would make the way shorter the other way round."""
    for a in range(len(distances) - 3):
        b, c, d = a + 1, a + 2, a + 3
        here = distances[a, b] + distances[c, d]
        exchanged = distances[a, c] + distances[b, d]
        if exchanged < SWAPPED * here:
            yield float(here - exchanged) / 2, Stretch((b, c), "swapped", ())


def _detour(distances: Distances, members: tuple[int, ...]) -> float:
    """How much longer the ways into and out of a stretch are than past it, for each member."""
    before, after = members[0] - 1, members[-1] + 1
    has_before, has_after = before >= 0, after < len(distances)
    into = distances[before, members[0]] if has_before else 0.0
    out = distances[members[-1], after] if has_after else 0.0
    past = distances[before, after] if has_before and has_after else 0.0
    return float(into + out - past) / len(members)


def fast_ends(
    distances: Distances, steps: Sequence[int], kept: Sequence[int]
) -> list[tuple[int, int, float]]:
    """The first and the last checkpoint, where it is too far from its neighbor.

    Too far: more than `FAST` times the median distance of neighbors, as it is, for each step,
    and for each unit of log(step + 1); any one of them alone is common in sound series.
    """
    pairs = [(a, b) for a, b in pairwise(kept) if steps[b] > steps[a]]
    if len(pairs) < _FEWEST_FOR_A_MEDIAN:
        return []
    ways = np.array([distances[a, b] for a, b in pairs])
    spans = np.array([(1, steps[b] - steps[a], _log_span(steps[a], steps[b])) for a, b in pairs])
    rates = ways[:, None] / spans
    usual = np.median(rates, 0)
    found = []
    for place, at, neighbor in ((0, pairs[0][0], pairs[0][1]), (-1, pairs[-1][1], pairs[-1][0])):
        if (rates[place] > FAST * usual).all():
            found.append((at, neighbor, float((rates[place] / np.maximum(usual, 1e-300)).min())))
    return found


def odd_norms(norms: Float[np.ndarray, "checkpoint"], kept: Sequence[int]) -> list[int]:
    """Checkpoints whose norm is far above, or far below, those of both neighbors."""
    return [
        here
        for before, here, after in zip(kept, kept[1:], kept[2:], strict=False)
        if norms[here] > NORM * max(norms[before], norms[after])
        or NORM * norms[here] < min(norms[before], norms[after])
    ]


def _log_span(low: int, high: int) -> float:
    return float(np.log((high + 1) / (low + 1)))


def repeated(steps: Iterable[int]) -> list[int]:
    """Steps that occur more than once."""
    return sorted(step for step, count in Counter(steps).items() if count > 1)
