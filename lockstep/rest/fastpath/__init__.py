"""The one room for speed: everything here saves time, and changes no response.

    bundles, fetch            a GET reads its object in the round trip of its authentication     bundling.py
    fetch_all, fetch_one, …   statements that are planned once for each connection               statements.py
    instance                  model instances from columns that a statement has read             instances.py
    unbound                   one serializer validates the bodies of all requests                instances.py
    Negotiation               the usual Accept headers need no negotiation                       negotiation.py
    response_headers          headers of plain ASCII need no encoding                            headers.py

`LOCKSTEP = {"REST_FASTPATH": False}` turns it off: every function then does what Django and REST framework do. Other
modules import only the names below.
"""

from lockstep.rest.fastpath.bundling import BundledQuery, bundled_query, bundles, fetch, for_user, keep
from lockstep.rest.fastpath.headers import response_headers
from lockstep.rest.fastpath.instances import instance, unbound
from lockstep.rest.fastpath.negotiation import Negotiation
from lockstep.rest.fastpath.statements import Row, Values, fetch_all, fetch_one, fetch_tuple

__all__ = [
    "BundledQuery",
    "Negotiation",
    "Row",
    "Values",
    "bundled_query",
    "bundles",
    "fetch",
    "fetch_all",
    "fetch_one",
    "fetch_tuple",
    "for_user",
    "instance",
    "keep",
    "response_headers",
    "unbound",
]
