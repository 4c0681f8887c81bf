import pandas as pd
import pytest

from nucleate.findings import rows_to_decide

NAN = float("nan")


def row(use: str = "undecided", strings: int = 20, **bounds: tuple[float, float]):
    """A judged place whose every effect is surely none, but for what is given."""
    found = {"use": use, "rows": 100, "shift_strings": strings, "erase_strings": strings}
    for name in ("shift_excess", "patch_excess", "erase_excess", "ablate_excess"):
        found[f"{name}_low"], found[f"{name}_high"] = bounds.get(name, (-0.02, 0.04))
    return found


def said(*places) -> str | None:
    return rows_to_decide(pd.DataFrame(places))


def test_nothing_is_said_where_use_is_decided_or_was_not_asked():
    assert said(row("used"), row("not used")) is None
    assert rows_to_decide(pd.DataFrame({"stream": ["embed"]})) is None


@pytest.mark.parametrize(
    ("place", "rows"),
    [
        (row(strings=5), 400),  # four times the strings
        (row(shift_excess=(0.05, 0.35)), 225),  # from .15 to .10 about .20: (.15 / .10) squared
        (row(shift_excess=(0.05, 0.35), strings=5), 400),
        (row(patch_excess=(-0.14, 0.16), ablate_excess=(-0.14, 0.14)), 278),
    ],
)
def test_the_rows_take_the_margin_out_of_every_interval_and_give_enough_strings(place, rows):
    assert f"about {rows} rows" in said(place, row("used"))
    assert said(place, row("used")).startswith("use is undecided at 1 of 2 places")


def test_an_effect_at_the_margin_and_a_question_that_was_not_asked_need_no_rows():
    at_margin = row(shift_excess=(0.0, 0.2))
    none = dict.fromkeys(
        ("shift_excess", "patch_excess", "erase_excess", "ablate_excess"), (NAN, NAN)
    )
    for place in (at_margin, row(**none), row(strings=0)):
        assert (
            said(place)
            == "use is undecided at 1 of 1 places; more rows like these would not decide it"
        )
