"""The audit as a run: every comparison, with the objects that differ."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from lockstep.changes.commands import counted
from lockstep.console.runs import BATCH, MAX_DIFFERENCES, Claimed, Progress, RunResult, add_differences
from lockstep.delivery.audit import Finding, audit
from lockstep.delivery.database import in_thread
from lockstep.delivery.subscriptions import Pool

MAX_NAMED = 1_000  # objects of one comparison that are kept
MAX_LISTED = 500  # comparisons that are kept: a family has thousands of subscriptions


async def make_audit(run: Claimed, pool: Pool, progress: Progress) -> RunResult:
    """Compares, in a thread. One comparison is not interrupted; between two the thread ends when the run does."""
    findings: list[Finding] = []
    stopping = threading.Event()

    def compare() -> None:
        progress.begin("comparing")
        for finding in audit(outside=bool(run.parameters.get("outside", True))):
            findings.append(finding)
            progress.done += 1
            progress.step = f"comparing; the last one: {finding.what}"
            if stopping.is_set():
                return

    try:
        await in_thread(compare)
    finally:
        stopping.set()
    rows = list(_rows(findings))
    for start in range(0, len(rows), BATCH):
        await add_differences(pool, run, rows[start : start + BATCH])
    listed, unlisted = _summarised(findings)
    summary = {
        "findings": [_as_json(each) for each in listed],
        "unlisted": unlisted,
        "left_out": sum(len(finding.differing) for finding in findings) - len(rows),
    }
    return RunResult(_outcome(findings), summary)


def _rows(findings: list[Finding]) -> Iterator[dict[str, object]]:
    """The objects that differ, up to the limits."""
    number = 0
    for finding in findings:
        for name in finding.differing[:MAX_NAMED]:
            number += 1
            if number > MAX_DIFFERENCES:
                return
            yield {
                "number": number,
                "kind": "differs",
                "collection": finding.what,
                "model": finding.model,
                "object_id": name if finding.model else "",
                "name": name,
                "remote_id": "",
                "fields": [],
                "is_own": False,
                "signature": None,
            }


def _summarised(findings: list[Finding]) -> tuple[list[Finding], int]:
    """What is worth a line, and how many are left out. The equal members of families are counted in one."""
    equal = Counter(
        finding.subscription.partition(":")[0]
        for finding in findings
        if ":" in finding.subscription and not finding.differing
    )
    listed = [finding for finding in findings if ":" not in finding.subscription or finding.differing]
    families = [
        Finding(f"log = {family}:*", 0, remark=counted(count, "subscription")) for family, count in equal.items()
    ]
    return [*listed[:MAX_LISTED], *families], max(len(listed) - MAX_LISTED, 0)


def _as_json(finding: Finding) -> dict[str, object]:
    """A comparison as JSON, with the number of differing objects instead of their names."""
    return asdict(finding) | {"differing": len(finding.differing)}


def _outcome(findings: list[Finding]) -> str:
    differing = sum(1 for finding in findings if finding.differing)
    left_out = sum(1 for finding in findings if finding.not_compared)
    missing = f" {counted(left_out, 'comparison')} could not be made." if left_out else ""
    if differing:
        return f"{differing:,} of {counted(len(findings), 'comparison')} differ.{missing}"
    return f"{counted(len(findings), 'comparison')}, all equal.{missing}" if not left_out else missing.strip()
