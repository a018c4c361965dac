"""The rows of the bench, in the order of the table. Each module has one subclass of Row."""

from django.utils.module_loading import import_string

from bench.row import Row

ROWS = {
    "import": "bench.rows.importing.Import",
    "write": "bench.rows.write.Write",
    "fan-out": "bench.rows.fan_out.FanOut",
    "delivery": "bench.rows.delivery.Delivery",
    "latency": "bench.rows.latency.Latency",
    "neighbours": "bench.rows.neighbours.Neighbours",
    "not-following": "bench.rows.not_following.NotFollowing",
    "held-open": "bench.rows.held_open.HeldOpen",
    "memory": "bench.rows.memory.Memory",
    "reach": "bench.rows.reach.Reach",
    "plan": "bench.rows.plan.SyncPlan",
    "web": "bench.rows.web.Web",
    "shop": "bench.rows.shop.Shop",
    "search": "bench.rows.search.Search",
    "conventions": "bench.rows.conventions.Conventions",
    "strangers": "bench.rows.strangers.Strangers",
}


def row(name: str) -> type[Row]:
    """The row of that name. Rows use models, so they are loaded when Django is set up and not before."""
    found: type[Row] = import_string(ROWS[name])
    return found
