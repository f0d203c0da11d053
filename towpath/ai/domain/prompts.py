"""What a model is asked: the question, the topic's fields, what was found so far, what was said before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from towpath.ai.domain.linking import describe_field
from towpath.ai.domain.semantics.compile import Column, list_fields
from towpath.ai.domain.words import describe_rows
from towpath.ai.semantic_types import Content
from towpath.ai.types import ActionType, StoredAction, Turn
from towpath.core.texts import cut_with_note, shorten
from towpath.llm.marks import MATERIAL, enclose_in_marks, escape_marks
from towpath.llm.types import ImagePart, Prompt

SHOWN_ROWS = 50
SHOWN_CHARACTERS = 6000
EARLIER_TURNS = 5
EARLIER_CHARACTERS = 1500
ATTACHED_CHARACTERS = 20_000
TOPIC_CHARACTERS = 400
FIELD_CHARACTERS = 200
SMALL_CHARACTERS = 2000
"""Of a question, for a small model."""
TOPICS = (
    "You choose the topic of a data model that can answer the user's question. Answer with the name of one topic."
    f" {MATERIAL}"
)
SYSTEM = (
    "You answer questions about data by structured queries over one topic of a semantic model. A query names fields;"
    " measures are summed up for the groups that the dimensions make. Ask what you need, look at the rows, ask again if"
    " they do not suffice or an error was told, then answer in Markdown by the rows alone; never make up a number."
    " Where the limit of a query has cut off rows, that is told: never take what was brought for all there is."
    f" Dates can be cut: field[month]. {MATERIAL}"
)
SMALL = "Choose the measure that the question asks for, and the field that it is told by."


def build_topic_prompt(
    question: str, texts: Mapping[str, str], form: dict[str, Any], earlier: Sequence[Turn]
) -> Prompt:
    """Build the question which topic a question is about.

    Args:
        question: In words.
        texts: What is said of each topic.
        form: The answer's form.
        earlier: What was asked before.
    """
    topics = "\n".join(f"- {name}: {shorten(text, TOPIC_CHARACTERS)}" for name, text in texts.items())
    user = escape_marks(f"Topics:\n{topics}\n\n{_earlier(earlier)}Question: {question}")
    return Prompt(system=TOPICS, user=user, form=form, most_tokens=100)


def build_action_prompt(
    question: str,
    content: Content,
    topic: str,
    fields: Sequence[Column],
    actions: Sequence[StoredAction],
    form: dict[str, Any],
    *,
    earlier: Sequence[Turn] = (),
    attached: Sequence[str] = (),
    images: Sequence[ImagePart] = (),
    attempt: int = 1,
) -> Prompt:
    """Build the question what to do next.

    Args:
        question: In words.
        content: The model.
        topic: The topic's name.
        fields: What a query may name.
        actions: The job's iterations so far.
        form: The move's form.
        earlier: Earlier turns of the thread.
        attached: Texts that came with the question.
        images: Images that came with it.
        attempt: A later attempt is a new question, also where all else is the same.
    """
    parts = [
        escape_marks(text) for text in (_topic(content, topic), _fields(content, topic, fields), _earlier(earlier))
    ]
    parts += [
        f"Attached file:\n{enclose_in_marks(cut_with_note(text, ATTACHED_CHARACTERS, 'file'))}" for text in attached
    ]
    # Each iteration repeats this, and providers cache it.
    stable = "".join(f"{part}\n\n" for part in parts if part)
    parts = [f"Question: {escape_marks(question)}" + (f" (attempt {attempt})" if attempt > 1 else "")]
    parts += [_describe_action(action) for action in actions]
    user = stable + "\n\n".join(part for part in parts if part)
    return Prompt(system=SYSTEM, user=user, stable=len(stable), shared=True, form=form, images=list(images))


def build_constrained_prompt(
    question: str,
    measures: Sequence[Column],
    dimensions: Sequence[Column],
    form: dict[str, Any],
    errors: Sequence[str],
) -> Prompt:
    """Build the choice of a small model: short, and with nothing to be led astray by."""
    rejected = "".join(f"\nNot this way: {error}" for error in errors)
    lists = [
        "\n".join([f"{title}:", *(f"- {column.name}: {column.label}" for column in columns)])
        for title, columns in (("Measures", measures), ("Fields", dimensions))
    ]
    user = "\n\n".join([*lists, f"Question: {shorten(question, SMALL_CHARACTERS)}{rejected}"])
    return Prompt(system=SMALL, user=escape_marks(user), form=form, most_tokens=200)


def _topic(content: Content, name: str) -> str:
    topic = content.topics[name]
    description = ". ".join(text for text in (topic.label, topic.description) if text)
    return f"Topic: {name} (table {topic.base_view})" + (f": {description}" if description else "")


def _fields(content: Content, topic: str, fields: Sequence[Column]) -> str:
    lines = []
    for field in fields:
        kind = "measure" if field.measure else str(field.type)
        lines.append(f"- {field.name} ({kind}): {shorten(describe_field(content, field), FIELD_CHARACTERS)}")
    there_are = len(list_fields(content, topic))
    head = (
        "Fields" if there_are == len(fields) else f"Fields (the {len(fields)} nearest to the question, of {there_are})"
    )
    return f"{head}:\n" + "\n".join(lines)


def _describe_action(action: StoredAction) -> str:
    if action.type is ActionType.VISUALIZE:
        sentences = [f"Drawn as {action.chart}." if not action.notes else "Drawn as follows.", *action.notes]
        return escape_marks(" ".join(sentences))
    if action.type is not ActionType.GENERATE_QUERY:
        return ""
    query = escape_marks(action.query.model_dump_json(exclude_defaults=True)) if action.query is not None else "none"
    if action.error is not None:
        return f"Query {action.number}: {query}\nIt failed: {escape_marks(action.error)}"
    lines = (action.csv or "").splitlines()
    shown = _within(lines[: SHOWN_ROWS + 1], SHOWN_CHARACTERS)
    rows = max(len(shown) - 1, 0)
    brought = action.rows if action.brought is None else action.brought
    cut = f" (only the first {rows} of them are shown)" if rows < brought else ""
    notes = "".join(f"\n{escape_marks(note)}" for note in action.notes)
    data = enclose_in_marks("\n".join(shown))
    return f"Query {action.number}: {query}\nIt brought {describe_rows(action)}{cut}:\n{data}{notes}"


def _within(lines: Sequence[str], most: int) -> list[str]:
    """Return the first lines that have room, none of them cut."""
    fitting: list[str] = []
    for line in lines:
        most -= len(line) + 1
        if most < 0:
            break
        fitting.append(line)
    return fitting


def _earlier(turns: Sequence[Turn]) -> str:
    texts = ["Questions before these are left out.\n"] if len(turns) > EARLIER_TURNS else []
    for turn in turns[-EARLIER_TURNS:]:
        queries = [
            action.query.model_dump_json(exclude_defaults=True)
            for action in turn.actions
            if action.query is not None and action.error is None
        ]
        texts.append(
            f"Earlier question: {shorten(turn.prompt, EARLIER_CHARACTERS)}\n"
            + "".join(f"Query: {query}\n" for query in queries[-2:])
            + f"Answer: {shorten(turn.answer or turn.error or 'none', EARLIER_CHARACTERS)}\n"
        )
    return "\n".join(texts) + ("\n" if texts else "")
