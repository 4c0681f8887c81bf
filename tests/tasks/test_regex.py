import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleate._core.errors import BadInput
from nucleate.tasks._regex import parse


def patterns() -> st.SearchStrategy[str]:
    """Regular expressions over a, b and c whose strings have at most some eight symbols."""
    symbols = st.sampled_from(["a", "b", "c", "[ab]", "[^a]", "."])
    return st.recursive(
        symbols,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
            inner.map(lambda one: f"({one})?"),
            inner.map(lambda one: f"(?:{one}){{1,2}}"),
        ),
        max_leaves=4,
    ).map(lambda pattern: f"c{pattern}")


@given(patterns(), st.integers(0, 2**32))
@settings(deadline=None)
def test_a_drawn_string_is_matched_by_the_pattern_as_python_reads_it(pattern, seed):
    language = parse(pattern)
    string = language.sample(np.random.default_rng(seed))
    assert re.fullmatch(pattern, string)
    assert language.lengths[0] <= len(string) <= language.lengths[1]
    assert language.required <= set(string) <= language.alphabet


@given(patterns(), patterns())
@settings(deadline=None, max_examples=40)
def test_a_common_string_is_found_exactly_if_brute_force_finds_one(first, second):
    # Another symbol than these three stands for all that `.` and [^a] could be.
    strings = ["".join(chars) for n in range(1, 7) for chars in product("abcd", repeat=n)]
    brute = [s for s in strings if re.fullmatch(first, s) and re.fullmatch(second, s)]
    common = parse(first).common_string(parse(second))
    if common is None:
        assert not brute
    else:
        assert re.fullmatch(first, common)
        assert re.fullmatch(second, common)


def test_the_capped_language_is_what_is_compared():
    capped, longer = parse("ba*", max_repeat=3), parse("ba{4,5}")
    assert capped.lengths == (1, 4)
    assert capped.common_string(longer) is None
    assert parse("ba*", max_repeat=4).common_string(longer) == "baaaa"


def test_distinct_strings_can_be_the_whole_language_and_no_more():
    language = parse("(a|b)[cd]e?")
    strings = language.sample_distinct(8, np.random.default_rng(0))
    assert sorted(strings) == sorted({x + y + z for x in "ab" for y in "cd" for z in ("", "e")})
    with pytest.raises(BadInput, match="only 8 different strings and 9"):
        language.sample_distinct(9, np.random.default_rng(0))


def test_distinct_strings_of_a_large_language_are_distinct():
    strings = parse("[a-z]{10}").sample_distinct(200, np.random.default_rng(0))
    assert len(set(strings)) == 200


def test_many_ways_to_few_strings_end_in_an_error_not_in_a_loop():
    with pytest.raises(BadInput, match="only 1 different"):
        parse("(a|a|a|a|a|a|a|a|a|a){5}").sample_distinct(2, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("pattern", "match"),
    [
        ("a(b", "is not a regular expression"),
        ("a{99999999999}", "is not a regular expression"),
        ("ab*", "is unbounded"),
        ("ab+", "is unbounded"),
        ("ab{2,}", "is unbounded"),
        ("a(?=b)b", "looks ahead or behind"),
        ("a(?!b)c", "looks ahead or behind"),
        ("(?<=a)b", "looks ahead or behind"),
        (r"(a|b)\1", "refers back"),
        ("(a)?(?(1)b|c)", "depends on whether"),
        ("(?>a|b)c", "atomic group"),
        ("a{1,2}+b", "possessive"),
        (r"a\bb", "anchor or a flag"),
        ("(?i)a", "ignores case"),
        ("(?i:a)b", "anchor or a flag"),
        ("a?", "empty string"),
        ("", "empty string"),
        ("a{65}", "allows 65 symbols"),
        (r"[^\w\W]", "class of no"),
        ("[\u0100-\uffff]", "class of no"),
    ],
)
def test_what_cannot_be_sampled_is_refused_by_name(pattern, match):
    with pytest.raises(BadInput, match=match) as error:
        parse(pattern)
    assert repr(pattern) in str(error.value)


@pytest.mark.parametrize(
    "pattern", [r"\d{2}\w", r"\D\S", "[a-c^]", "^ab$", r"a\.b\]", "a-[-b]", "a??b"]
)
def test_classes_escapes_and_outer_anchors_mean_what_they_mean_in_python(pattern):
    language = parse(pattern)
    rng = np.random.default_rng(0)
    assert all(re.fullmatch(pattern, language.sample(rng)) for _ in range(50))
    assert language.common_string(language) is not None
    assert all(re.fullmatch(language.plain, language.sample(rng)) for _ in range(50))
