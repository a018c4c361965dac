"""The one room for speed: everything here saves time, and changes no response.

    bundles, fetch            a GET reads its object in the round trip of its authentication     bundling.py
    fetch_all, fetch_one, …   statements that are planned once for each connection               statements.py
    instance                  model instances from columns that a statement has read             statements.py
    Headers                   headers of plain ASCII need no encoding                            headers.py
    is_on                     the switch                                                         switch.py

`LOCKSTEP = {"REST_FASTPATH": False}` turns it off: Django and REST framework then do all of it. Other modules import
only the names below.
"""

from lockstep.rest.fastpath.bundling import BundledQuery, bundled_query, bundles, fetch, for_user, keep
from lockstep.rest.fastpath.headers import Headers
from lockstep.rest.fastpath.statements import Row, Values, fetch_all, fetch_one, fetch_tuple, instance
from lockstep.rest.fastpath.switch import is_on

__all__ = [
    "BundledQuery",
    "Headers",
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
    "is_on",
    "keep",
]
