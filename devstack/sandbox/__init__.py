"""Stand-ins of remote systems, each a program."""

# By the name of what it stands for: what `python -m` runs.
MODULES = {
    "posts": "devstack.sandbox.jsonplaceholder",
    "payments": "devstack.sandbox.payments",
    "counter": "devstack.sandbox.counter",
    "movies": "devstack.sandbox.november7",
}
