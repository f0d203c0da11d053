"""What the source of the workflows names: activities, with the options that they are called with."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

from temporalio import activity

from towpath.core.queues import Queue

DEFINED = ("activity.defn", "workflow.defn", "workflow.signal", "workflow.query", "workflow.update")
"""Decorators that give something its name in recorded histories."""


@dataclass(frozen=True, slots=True)
class Use:
    """One mention of an activity in a workflow module.

    Attributes:
        activity: Its name in Temporal.
        queues: Where it is sent by the options that it is called with; empty: nothing tells.
        place: Module and line, for the failure.
    """

    activity: str
    queues: frozenset[Queue]
    place: str


def modules_of(package: str) -> list[ModuleType]:
    """All modules of a package, imported."""
    root = importlib.import_module(package)
    names = [found.name for found in pkgutil.walk_packages(root.__path__, f"{package}.")]
    return [root, *(importlib.import_module(name) for name in names)]


@cache
def tree_of(module: ModuleType) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(inspect.getsource(module))


def unnamed(module: ModuleType) -> list[str]:
    """Definitions that leave their name to that of the function or the class: renaming it would lose histories."""
    return [
        f"{module.__name__}:{node.lineno} {node.name}"
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for decorator in node.decorator_list
        if ast.unparse(decorator).partition("(")[0].endswith(DEFINED)
        and not (isinstance(decorator, ast.Call) and any(keyword.arg == "name" for keyword in decorator.keywords))
    ]


def uses_of(module: ModuleType) -> Iterator[Use]:
    """Every mention of an activity, with the options of the innermost call or function around it that has some."""
    yield from _walk(tree_of(module), module, ())


def _walk(node: ast.AST, module: ModuleType, around: tuple[ast.AST, ...]) -> Iterator[Use]:
    name = activity_name(_value(node, module))
    if name is not None:
        queues = next(filter(None, (_queues_within(place, module) for place in reversed(around))), frozenset[Queue]())
        yield Use(name, queues, f"{module.__name__}:{getattr(node, 'lineno', 0)}")
        return
    if isinstance(node, ast.Call | ast.FunctionDef | ast.AsyncFunctionDef):
        around = (*around, node)
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, module, around)


def activity_name(value: object) -> str | None:
    """The name in Temporal; None: it is no activity."""
    definition = activity._Definition.from_callable(value) if callable(value) else None
    return None if definition is None else definition.name


def _value(node: ast.AST, module: ModuleType) -> object:
    """What a name of the module, or an attribute of one, stands for."""
    if isinstance(node, ast.Name):
        return vars(module).get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_value(node.value, module), node.attr, None)
    return None


def _queues_within(place: ast.AST, module: ModuleType) -> frozenset[Queue]:
    """The queues of all activity options that a piece of code names, or else of those in the function it calls."""
    found = {
        Queue(value.get("task_queue", Queue.ENGINE))
        for node in ast.walk(place)
        if _is_options(value := _value(node, module)) and isinstance(value, dict)
    }
    if not found and isinstance(place, ast.Call):
        called = _value(place.func, module)
        home = inspect.getmodule(called)
        if isinstance(called, FunctionType) and home is not None and home.__name__.startswith(_package(module)):
            body = ast.parse(textwrap.dedent(inspect.getsource(called))).body[0]
            return frozenset().union(*(_queues_within(node, home) for node in ast.iter_child_nodes(body)))
    return frozenset(found)


def _is_options(value: object) -> bool:
    return isinstance(value, dict) and {"start_to_close_timeout", "retry_policy"} <= set(value)


def _package(module: ModuleType) -> str:
    return module.__package__ or module.__name__


def served_by(serve: Callable[[Queue], list[Callable[..., Any]]]) -> dict[str, set[Queue]]:
    """The queues on which a worker serves each activity."""
    served: dict[str, set[Queue]] = {}
    for queue in Queue:
        for method in serve(queue):
            name = activity_name(method)
            assert name is not None, f"{method} on {queue} is no activity"
            served.setdefault(name, set()).add(queue)
    return served
