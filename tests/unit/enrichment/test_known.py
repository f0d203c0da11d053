"""What of a result is given with the entity, and what is left to ask for."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from towpath.enrichment.domain.content import Content, group_by_domain
from towpath.enrichment.domain.forms import answer_form
from towpath.enrichment.domain.known import apply_known, find_known, needs_asking
from towpath.enrichment.domain.prompts import enrichment_prompt, gains_by_shared_forms, list_choices
from towpath.enrichment.domain.runs import assemble_result, calls_of, calls_to_repeat, record_id
from towpath.enrichment.domain.schema import read_content
from towpath.enrichment.domain.sources import fit_sources, share_room
from towpath.enrichment.types import Conflict, ExpertiseResult, Plan, Strategy

BOOK = read_content(
    {
        "root": {
            "name": "Book",
            "properties": {
                "isbn": {"type": "string", "preserve": True},
                "title": {"type": "string", "identifying": True, "multilingual": True},
                "author": {
                    "type": "object",
                    "nullable": True,
                    "properties": {
                        "name": {"type": "string", "identifying": True},
                        "born": {"type": "integer", "nullable": True},
                    },
                },
                "key": {"type": "object", "properties": {"shelf": {"type": "string", "preserve": True}}},
                "editions": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"year": {"type": "integer", "identifying": True}}},
                },
            },
        }
    }
)
FACTS: dict[str, Any] = {"ISBN": " 1 ", "title": "Light", "Author": {"NAME": "Ann"}, "key": {"shelf": "A"}}


def test_what_an_entity_brings_is_found_in_objects_and_whatever_the_case_of_its_keys() -> None:
    assert find_known(BOOK, FACTS) == {
        ("isbn",): " 1 ", ("author", "name"): "Ann", ("key", "shelf"): "A",
    }  # fmt: skip
    assert ("title",) in find_known(BOOK, {**FACTS, "title": {"en": "Light", "fr": "Lueur"}}, ["en", "fr"])
    assert ("title",) not in find_known(BOOK, {**FACTS, "title": {"en": "Light"}}, ["en", "fr"])
    assert ("author", "name") not in find_known(BOOK, {"isbn": "1", "author": "Ann"})


def test_the_form_is_without_what_is_given_and_an_object_of_which_a_part_is_given_is_there() -> None:
    form = answer_form(BOOK, without=find_known(BOOK, FACTS))
    assert list(form["properties"]) == ["title", "author", "editions"]
    author = form["properties"]["author"]
    assert (author["type"], list(author["properties"])) == ("object", ["born"])
    assert list(form["properties"]["editions"]["items"]["properties"]) == ["year"]
    plain = answer_form(BOOK)
    assert plain["properties"]["author"]["type"] == ["object", "null"]


@given(st.sets(st.sampled_from([("isbn",), ("author", "name"), ("author", "born"), ("key", "shelf"), ("title",)])))
def test_what_needs_asking_is_what_the_form_has(paths: set[tuple[str, ...]]) -> None:
    known: dict[tuple[str, ...], Any] = dict.fromkeys(paths, "x")
    form = answer_form(BOOK, without=known)
    assert list(form["properties"]) == [name for name in BOOK["root"]["properties"] if needs_asking(BOOK, known, name)]


def test_given_values_stand_in_the_order_of_the_schema_and_no_model_overwrites_them() -> None:
    known = find_known(BOOK, FACTS)
    made = apply_known(BOOK, known, {"editions": [], "author": {"born": 1950, "name": "Bob"}, "isbn": "2"})
    assert made == {
        "isbn": " 1 ", "author": {"born": 1950, "name": "Ann"}, "key": {"shelf": "A"}, "editions": [],
    }  # fmt: skip
    assert list(made) == ["isbn", "author", "key", "editions"]
    assert apply_known(BOOK, known, {"author": None})["author"] == {"name": "Ann"}


def test_a_result_without_any_call_is_what_was_given() -> None:
    content = read_content({"root": {"name": "Key", "properties": {"id": {"type": "string", "preserve": True}}}})
    plan = Plan(content=content, models=["p::a"], strategy=Strategy.MULTI_EXPERTISE)
    assert calls_of(plan, {"id": "7"}) == []
    made = assemble_result(plan, {"id": "7"}, "p::a", [], record=record_id(plan_id(), 0, "a"), milliseconds=0)
    assert (made.success, made.result, made.cost_usd) == (True, {"id": "7"}, 0.0)
    failed = ExpertiseResult(key="all", name="all", success=False, error_message="down")
    made = assemble_result(plan, {"id": "7"}, "p::a", [failed], record=record_id(plan_id(), 0, "a"), milliseconds=0)
    assert (made.success, made.result) == (False, None)


def plan_id() -> Any:
    from uuid import UUID

    return UUID(int=1)


def domains(**expertise: str | None) -> Content:
    properties = {name: {"type": "string", "expertise": domain} for name, domain in expertise.items()}
    keys = {domain: {} for domain in expertise.values() if domain and domain != "general"}
    return read_content({"root": {"properties": properties}, "expertise_domains": keys})


def test_what_names_no_domain_joins_the_smallest_one_and_else_is_general() -> None:
    assert group_by_domain(domains(a="x", b="x", c="y", d=None)) == {"x": ["a", "b"], "y": ["c", "d"]}
    assert group_by_domain(domains(a=None, b=None)) == {"general": ["a", "b"]}
    assert group_by_domain(domains(a=None, b="general", c="x")) == {"general": ["a", "b"], "x": ["c"]}
    content = domains(a="x", b="y", c="y", d=None)
    content["root"]["properties"]["a"]["preserve"] = True
    assert group_by_domain(content)["y"] == ["b", "c", "d"], "x has nothing to ask, so it gets no call"


@given(
    st.lists(st.sampled_from(["Orion", "Vega", "Lyra"]), min_size=2, max_size=4),
    st.lists(st.text(min_size=1, max_size=5), min_size=2, max_size=2),
)
def test_all_prompts_of_a_job_begin_alike(names: list[str], keys: list[str]) -> None:
    content = domains(a="x", b="y")
    prompts = [
        enrichment_prompt(content, {"name": name, "note": keys}, domain=domain, keys=[key], sources=["f.txt\nlong"])
        for name in names
        for domain, key in (("x", "a"), ("y", "b"))
    ]
    assert len({prompt.user[: prompt.stable] for prompt in prompts}) == 1
    assert all("long" in prompt.user[: prompt.stable] for prompt in prompts)
    assert all("Known facts" in prompt.user[prompt.stable :] for prompt in prompts)


def test_forms_are_shared_where_the_text_is_long_and_the_entities_are_few() -> None:
    forms = [{"a": "x" * 100}, {"b": "x" * 100}]
    assert gains_by_shared_forms(20_000, forms, 3)
    assert not gains_by_shared_forms(20_000, forms, 10_000)
    assert not gains_by_shared_forms(1_000, forms, 3)
    assert not gains_by_shared_forms(20_000, forms[:1], 3)


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(0, 3000))
def test_room_is_shared_fairly(sizes: list[int], room: int) -> None:
    shares = share_room(sizes, room)
    assert sum(shares) <= room or not sizes
    assert all(0 <= share <= size for share, size in zip(shares, sizes, strict=True))
    cut = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    if cut:
        assert max(cut) - min(cut) <= 1
        assert all(share <= min(cut) for share, size in zip(shares, sizes, strict=True) if share == size)
        assert room - sum(shares) < max(len(sizes), 1)
    else:
        assert shares == sizes


def test_a_text_is_cut_between_characters_and_this_is_told_to_the_model_and_to_people() -> None:
    text = "f.txt\n" + "\u5149" * 10_000
    shown = fit_sources([text, "g.txt\nshort"], "p::a", 4_000)
    assert shown.texts[1] == "g.txt\nshort"
    assert shown.texts[0].startswith("f.txt\n\u5149")
    assert "the first" in shown.texts[0]
    assert shown.warnings[0][0] == "f.txt"
    assert "p::a is shown the first" in shown.warnings[0][1]
    assert shown.tokens <= 4_000
    assert fit_sources([text], "p::a", 128_000).warnings == []


def test_an_arbiter_is_shown_each_value_once_and_no_model_is_always_first() -> None:
    first = set()
    for number in range(30):
        values = {"p::a": f"x{number}", "p::b": f"y{number}", "p::c": f"Y{number} "}
        conflict = Conflict(path=f"f{number}", field_type="scalar", values_by_model=values, needs_arbitration=True)
        choices = list_choices(conflict)
        assert sorted(choices) == ["p::a", "p::b"]
        assert choices == list_choices(conflict.model_copy(deep=True))
        first.add(choices[0])
    assert first == {"p::a", "p::b"}


def test_a_repeat_asks_for_what_failed_calls_were_to_bring_also_where_the_domains_were_cut_otherwise() -> None:
    plan = Plan(content=domains(a="x", b="y", c=None), models=["p::a"], strategy=Strategy.MULTI_EXPERTISE)
    done = ExpertiseResult(key="x", name="x", success=True, result={"a": "1"})
    old = [done, ExpertiseResult(key="y", name="y", success=True, result={"b": "2"}),
           ExpertiseResult(key="general", name="General", success=False)]  # fmt: skip
    assert calls_to_repeat(plan, {"n": 1}, old) == [("x", ["c"])]
    failed = ExpertiseResult(key="y", name="y", success=False, fields=["b"])
    assert calls_to_repeat(plan, {"n": 1}, [done, failed]) == [("y", ["b"])]
    assert calls_to_repeat(plan, {"n": 1}, [done]) == [], "a waterfall asks a model for a part only"
    whole = ExpertiseResult(key="all", name="all", success=False)
    assert calls_to_repeat(plan, {"n": 1}, [whole]) == [("x", ["a", "c"]), ("y", ["b"])]
