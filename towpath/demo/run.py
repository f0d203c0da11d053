"""`make demo`: a real batch of persons, a worker killed in the middle, and what comes out of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from towpath.demo.client import Towpath
from towpath.demo.persons import FIELDS, Persons, febrl3, ordered, score

INDEX = "demo-persons"
KILL_AT = (0.2, 0.6)
EXPLAINED = 10


def run_demo(url: str, key: str, kill_worker: Callable[[], int], console: Console) -> float:
    """Run the demo against a façade.

    Args:
        url: The façade.
        key: An API key of an owner.
        kill_worker: Ends a worker process with SIGKILL and returns its pid; the supervisor starts another.
        console: Where to print.

    Returns:
        F1 against the ground truth.
    """
    console.rule("[bold]Towpath: find the duplicates among 5,000 people")
    persons = febrl3()
    console.print(
        f"FEBRL 3: {len(persons.entities):,} records with typing errors, {len(persons.pairs):,} true pairs."
        " No labels, no tuning: the index knows only the names and types of the fields."
    )
    towpath = Towpath(url, key)
    if any(index["indexName"] == INDEX for index in towpath.call("GET", "/v1/indexes")["indexes"]):
        towpath.call("DELETE", f"/v1/indexes/{INDEX}")
    towpath.call("POST", "/v1/indexes", json={"indexName": INDEX, "fields": FIELDS})
    began = time.monotonic()
    job_id = towpath.submit(persons.entities, INDEX)
    end = _follow(towpath, job_id, kill_worker, console)
    seconds = time.monotonic() - began
    if end["state"] != "COMPLETED":
        raise RuntimeError(f"the job ended as {end['state']}: {end.get('error')}")
    return _report(towpath, job_id, persons, seconds, console)


def _follow(towpath: Towpath, job_id: str, kill_worker: Callable[[], int], console: Console) -> dict[str, Any]:
    kills = list(KILL_AT)
    columns = (TextColumn("{task.description:<22}"), BarColumn(40), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("starting", total=1.0)
        for event in towpath.events(job_id):
            phase = event.data.get("phase")
            if phase:
                bar.update(task, description=phase)
            progress = float(event.data.get("progress") or 0.0)
            if progress:
                bar.update(task, completed=progress)
            if kills and progress >= kills[0] and progress < 0.95:
                kills.pop(0)
                bar.console.print(
                    f"  [red]kill -9[/] worker {kill_worker()} at {progress:.0%} — its chunks run again in the next one"
                )
            if event.type in {"job.completed", "job.failed", "job.cancelled"}:
                bar.update(task, completed=1.0, description="done")
                return event.data
    raise RuntimeError("the stream ended before the job")


def _report(towpath: Towpath, job_id: str, persons: Persons, seconds: float, console: Console) -> float:
    pairs = [ordered(pair["entityId"], pair["duplicateId"]) for pair in towpath.pairs(INDEX)]
    result = score(pairs, persons.pairs)
    groups = towpath.call("GET", "/v1/groups", params={"indexName": INDEX, "limit": 1})["total"]
    job = towpath.call("GET", f"/v1/jobs/{job_id}")
    console.print(
        f"\n[bold]{job['progress']['succeeded']:,} entities[/] in {seconds:.1f} s, with every kill survived;"
        f" {len(pairs):,} duplicate pairs in {groups:,} groups."
    )
    console.print(
        f"precision [bold]{result.precision:.4f}[/]  recall [bold]{result.recall:.4f}[/]  F1 [bold]{result.f1:.4f}[/]"
    )
    console.print(_explained(towpath, persons))
    console.print(f"API with examples   {towpath.url}/docs", soft_wrap=True)
    console.print(f"this job            {towpath.url}{job['links']['self']}", soft_wrap=True)
    if job["links"].get("temporal"):
        console.print(f"its workflow        {job['links']['temporal']}", soft_wrap=True)
    return result.f1


def _explained(towpath: Towpath, persons: Persons) -> Table:
    pairs = list(towpath.pairs(INDEX, explain=True))
    # Evenly from the whole range: the surest ones alone would all look the same.
    step = max(len(pairs) // EXPLAINED, 1)
    table = Table(title="Ten pairs, explained (bits of evidence by field; they add up to the score's log-odds)")
    for name, style in (("pair", "bold"), ("score", ""), ("true", ""), ("for", "green"), ("against", "red")):
        table.add_column(name, style=style)
    for pair in pairs[step - 1 :: step][:EXPLAINED]:
        why = pair["explanation"]
        truth = ordered(pair["entityId"], pair["duplicateId"]) in persons.pairs
        table.add_row(
            f"{pair['entityId']}\n{pair['duplicateId']}",
            f"{pair['similarity']:.3f}",
            "yes" if truth else "no",
            _bits(why["matched"][:4]),
            _bits([{"field": "prior", "contribution": why["prior"]}, *why["conflicting"][:2]]),
        )
    return table


def _bits(parts: list[dict[str, Any]]) -> str:
    return ", ".join(f"{part['field']} {part['contribution']:+.1f}" for part in parts)
