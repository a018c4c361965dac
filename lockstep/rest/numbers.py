"""The syntax of numbers in bodies, queries and forms of the admin.

ASCII digits, without leading zeros. Python also accepts `1_0`, ` 5 `, `+5` and digits of any script.
"""

import re

__all__ = ["DECIMAL", "NATURAL", "WHOLE"]

NATURAL = re.compile(r"0|[1-9][0-9]{0,18}")
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
