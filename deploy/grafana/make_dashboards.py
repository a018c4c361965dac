"""Writes Grafana's dashboards as JSON: `dashboards/service.json` and `dashboards/subscription.json`.

    python deploy/grafana/make_dashboards.py [FOLDER]

It needs grafana-foundation-sdk; Grafana itself reads the JSON alone (provisioning/dashboards).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable, Row, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)

FOLDER = Path(__file__).resolve().parent / "dashboards"
SOURCE = DataSourceRef("prometheus", "prometheus")
P = TypeVar("P", timeseries.Panel, stat.Panel)
ALLOWED = 0.001  # the share that the objectives allow


@dataclass(frozen=True)
class Graph:
    """A panel with lines: each is a legend and an expression."""

    title: str
    text: str
    unit: str
    lines: Sequence[tuple[str, str]]
    span: int = 8

    def panel(self) -> timeseries.Panel:
        """The panel's builder."""
        panel = (
            timeseries.Panel()
            .title(self.title)
            .description(self.text)
            .unit(self.unit)
            .min(0)
            .span(self.span)
            .height(8)
            .datasource(SOURCE)
            .fill_opacity(10)
            .line_width(1)
            .show_points(common.VisibilityMode.NEVER)
            .legend(
                build_common.VizLegendOptions()
                .display_mode(common.LegendDisplayMode.LIST)
                .placement(common.LegendPlacement.BOTTOM)
                .show_legend(True)
            )
        )
        return with_lines(panel, self.lines)


@dataclass(frozen=True)
class Number:
    """A panel with one number, which is red from `bad` on, or below `good`."""

    title: str
    text: str
    unit: str
    expression: str
    bad: float | None = None
    good: float | None = None
    span: int = 4

    def panel(self) -> stat.Panel:
        """The panel's builder."""
        below, above = ("green", "red") if self.good is None else ("red", "green")
        steps = [Threshold(None, below), Threshold(self.bad if self.good is None else self.good, above)]
        panel = (
            stat.Panel()
            .title(self.title)
            .description(self.text)
            .unit(self.unit)
            .span(self.span)
            .height(4)
            .datasource(SOURCE)
            .thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
            .color_mode(common.BigValueColorMode.BACKGROUND)
            .reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]))
        )
        return with_lines(panel, [("", self.expression)])


Panel = Graph | Number


def with_lines(panel: P, lines: Sequence[tuple[str, str]]) -> P:
    """The panel with a query for each line."""
    for letter, (legend, expression) in zip("ABCDEFGH", lines, strict=False):
        panel.with_target(Dataquery().ref_id(letter).expr(expression).legend_format(legend).range().datasource(SOURCE))
    return panel


SERVICE: dict[str, Sequence[Panel]] = {
    "Objectives": [
        Number(
            "Requests that fail, 6 h",
            "Of all requests; 0.1 % is allowed.",
            "percentunit",
            "lockstep:request_errors:ratio_rate6h",
            ALLOWED,
        ),
        Number(
            "Late deliveries, 6 h",
            "Later than 5 s, or given up; 0.1 % is allowed.",
            "percentunit",
            "lockstep:late_deliveries:ratio_rate6h",
            ALLOWED,
        ),
        Number(
            "Workers that move",
            "0: nothing is delivered.",
            "short",
            'max(lockstep_workers{state="moving"})',
            good=1,
        ),
        Number(
            "Dead letters",
            "Without webhooks.",
            "short",
            'sum(max by (subscription) (lockstep_subscription_dead{subscription!="webhook"}))',
            1,
        ),
        Number("Targets down", "Processes without metrics.", "short", "count(up == 0) or vector(0)", 1),
        Number(
            "Alerts that fire",
            "Without the watchdog, which always fires.",
            "short",
            'count(ALERTS{alertstate="firing",severity!="none"}) or vector(0)',
            1,
        ),
        Graph(
            "Requests that fail",
            "The share answered with 5xx, over two windows.",
            "percentunit",
            [
                ("5 min", "lockstep:request_errors:ratio_rate5m"),
                ("1 h", "lockstep:request_errors:ratio_rate1h"),
                ("3 d", "lockstep:request_errors:ratio_rate3d"),
            ],
            12,
        ),
        Graph(
            "Late deliveries",
            "The share settled later than 5 s after the change, or given up, over two windows.",
            "percentunit",
            [
                ("5 min", "lockstep:late_deliveries:ratio_rate5m"),
                ("1 h", "lockstep:late_deliveries:ratio_rate1h"),
                ("3 d", "lockstep:late_deliveries:ratio_rate3d"),
            ],
            12,
        ),
    ],
    "Requests": [
        Graph(
            "Requests",
            "By status.",
            "reqps",
            [("{{status}}", "sum by (status) (rate(lockstep_http_request_seconds_count[$__rate_interval]))")],
        ),
        Graph(
            "Duration",
            "Until the answer began.",
            "s",
            [
                (
                    name,
                    f"histogram_quantile({share}, sum by (le) "
                    "(rate(lockstep_http_request_seconds_bucket[$__rate_interval])))",
                )
                for name, share in (("median", 0.5), ("95 %", 0.95), ("99 %", 0.99))
            ],
        ),
        Graph(
            "Searches of movies",
            "By how fresh the answer was.",
            "reqps",
            [("{{freshness}}", "sum by (freshness) (rate(lockstep_movies_answers_total[$__rate_interval]))")],
        ),
    ],
    "Deliveries": [
        Graph(
            "Delivered",
            "Deliveries a second, by subscription.",
            "ops",
            [
                (
                    "{{subscription}}",
                    "sum by (subscription) "
                    '(rate(lockstep_delivery_attempts_total{outcome="delivered"}[$__rate_interval]))',
                )
            ],
        ),
        Graph(
            "Failed attempts",
            "Attempts a second that neither delivered nor passed over, by kind.",
            "ops",
            [
                (
                    "{{subscription}} {{outcome}}",
                    "sum by (subscription, outcome) "
                    '(rate(lockstep_delivery_attempts_total{outcome!~"delivered|skipped"}[$__rate_interval]))',
                )
            ],
        ),
        Graph(
            "The oldest change",
            "That is not delivered, by subscription.",
            "s",
            [("{{subscription}}", "max by (subscription) (lockstep_subscription_oldest_seconds)")],
        ),
        Graph(
            "Not fanned out",
            "Changes that are in no lane yet.",
            "short",
            [("{{subscription}}", "max by (subscription) (lockstep_subscription_behind)")],
        ),
        Graph(
            "Waiting",
            "Changes in lanes.",
            "short",
            [("{{subscription}}", "max by (subscription) (lockstep_subscription_waiting)")],
        ),
        Graph(
            "Failing objects",
            "Objects whose last attempt failed.",
            "short",
            [("{{subscription}}", "max by (subscription) (lockstep_subscription_failing)")],
        ),
    ],
    "Workers": [
        Graph(
            "Workers",
            "By their sign of life.",
            "short",
            [("{{state}}", "max by (state) (lockstep_workers)")],
        ),
        Graph(
            "Periodic work that is late",
            "1 where no worker does it.",
            "short",
            [("{{work}}", "max by (work) (lockstep_periodic_work_late)")],
        ),
        Graph(
            "Memory",
            "Resident, of each worker.",
            "bytes",
            [("{{instance}}", 'process_resident_memory_bytes{job="worker"}')],
        ),
    ],
    "PostgreSQL": [
        Graph(
            "The oldest transaction",
            "Open or prepared: PostgreSQL keeps every version of every row since.",
            "s",
            [("{{kind}}", "max by (kind) (lockstep_database_oldest_transaction_seconds)")],
        ),
        Graph(
            "The change log",
            "With its indexes.",
            "bytes",
            [("size", "max(lockstep_database_change_log_bytes)")],
        ),
        Graph(
            "Kept by replication slots",
            "Bytes of the write-ahead log; 0 without slots.",
            "bytes",
            [("{{slot}}", "max by (slot) (lockstep_database_slot_retained_wal_bytes) or vector(0)")],
        ),
    ],
    "Remote systems": [
        Graph(
            "Differences at a provider",
            "Objects that the last drift check found; 1 under `stopped`: mending waits for a person.",
            "short",
            [
                ("{{provider}}", "max by (provider) (lockstep_mirror_drift_objects)"),
                ("{{provider}} stopped", "max by (provider) (lockstep_mirror_stopped)"),
            ],
            12,
        ),
        Graph(
            "The movies' provider",
            "What it answered, in 10 minutes.",
            "short",
            [("{{outcome}}", "sum by (outcome) (increase(lockstep_movies_provider_answers_total[10m]))")],
            12,
        ),
    ],
}

OF_ONE = '{subscription="$subscription"}'
SUBSCRIPTION: dict[str, Sequence[Panel]] = {
    "Now": [
        Number(
            "Oldest change", "That is not delivered.", "s", f"max(lockstep_subscription_oldest_seconds{OF_ONE})", 60
        ),
        Number(
            "Not fanned out", "Changes in no lane yet.", "short", f"max(lockstep_subscription_behind{OF_ONE})", 10_000
        ),
        Number("Waiting", "Changes in lanes.", "short", f"max(lockstep_subscription_waiting{OF_ONE})", 10_000),
        Number("Failing objects", "Last attempt failed.", "short", f"max(lockstep_subscription_failing{OF_ONE})", 6),
        Number("Dead letters", "Given up, not settled.", "short", f"max(lockstep_subscription_dead{OF_ONE})", 1),
        Number("Stopped", "Paused, full or disabled.", "short", f"max(lockstep_subscription_stopped{OF_ONE})", 1),
    ],
    "Deliveries": [
        Graph(
            "Attempts",
            "A second, by how they ended.",
            "ops",
            [
                (
                    "{{outcome}}",
                    f"sum by (outcome) (rate(lockstep_delivery_attempts_total{OF_ONE}[$__rate_interval]))",
                )
            ],
        ),
        Graph(
            "Age at delivery",
            "How old changes were when their delivery was settled.",
            "s",
            [
                (
                    name,
                    f"histogram_quantile({share}, sum by (le) "
                    f"(rate(lockstep_delivery_age_seconds_bucket{OF_ONE}[$__rate_interval])))",
                )
                for name, share in (("median", 0.5), ("95 %", 0.95), ("99.9 %", 0.999))
            ],
        ),
        Graph(
            "Duration of an attempt",
            "Near the deadline: the remote is slow or does not answer.",
            "s",
            [
                (
                    name,
                    f"histogram_quantile({share}, sum by (le) "
                    f"(rate(lockstep_delivery_attempt_seconds_bucket{OF_ONE}[$__rate_interval])))",
                )
                for name, share in (("median", 0.5), ("95 %", 0.95), ("99 %", 0.99))
            ],
        ),
        Graph(
            "Late deliveries",
            "The share settled later than 5 s after the change, or given up.",
            "percentunit",
            [("5 min", f"lockstep:late_deliveries_by_subscription:ratio_rate5m{OF_ONE}")],
        ),
        Graph(
            "Fanned out",
            "Changes placed in lanes a second.",
            "ops",
            [("changes", f"sum(rate(lockstep_delivery_fanned_out_changes_total{OF_ONE}[$__rate_interval]))")],
        ),
        Graph(
            "Given up, not settled",
            "Dead letters, and settlements that the database did not take, a second.",
            "ops",
            [
                ("dead letters", f"sum(rate(lockstep_delivery_dead_letters_total{OF_ONE}[$__rate_interval]))"),
                ("settlements", f"sum(rate(lockstep_delivery_settlement_failures_total{OF_ONE}[$__rate_interval]))"),
            ],
        ),
        Graph(
            "What waits",
            "Objects with something that waits, and those that fail.",
            "short",
            [
                ("changes", f"max(lockstep_subscription_waiting{OF_ONE})"),
                ("objects", f"max(lockstep_subscription_objects{OF_ONE})"),
                ("failing", f"max(lockstep_subscription_failing{OF_ONE})"),
            ],
            12,
        ),
        Graph(
            "The oldest change",
            "That is not delivered.",
            "s",
            [("age", f"max(lockstep_subscription_oldest_seconds{OF_ONE})")],
            12,
        ),
    ],
}


def service() -> Dashboard:
    """The whole service."""
    return filled(started("Lockstep: the service", "lockstep-service"), SERVICE)


def subscription() -> Dashboard:
    """One subscription, which the variable names."""
    variable = (
        QueryVariable("subscription")
        .label("Subscription")
        .datasource(SOURCE)
        .query("label_values(lockstep_subscription_waiting, subscription)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    dashboard = started("Lockstep: one subscription", "lockstep-subscription").with_variable(variable)
    return filled(dashboard, SUBSCRIPTION)


def started(title: str, uid: str) -> Dashboard:
    """A dashboard without panels."""
    return (
        Dashboard(title)
        .uid(uid)
        .tags(["lockstep"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .timezone("browser")
        .refresh("30s")
    )


def filled(dashboard: Dashboard, rows: dict[str, Sequence[Panel]]) -> Dashboard:
    """The dashboard with a row for each group of panels."""
    numbers = count(1)
    for title, panels in rows.items():
        dashboard.with_row(Row(title).id(next(numbers)))
        for panel in panels:
            dashboard.with_panel(panel.panel().id(next(numbers)))
    return dashboard


def main(words: Sequence[str]) -> int:
    """The exit code."""
    folder = Path(words[0]) if words else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, dashboard in (("service", service()), ("subscription", subscription())):
        text = JSONEncoder(sort_keys=True, indent=2).encode(dashboard.build())
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
