"""What a number is as a text, whichever way it comes: in a body, in a query, or in a form of the admin.

ASCII digits, without leading zeros. Python takes `1_0`, ` 5 `, `+5` and digits of any script as well.
"""

import re

NATURAL = re.compile(r"0|[1-9][0-9]{0,18}")
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
