"""The default retry schedule."""

SCHEDULE = (0.0, 5.0, 30.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0)  # seconds before the nth attempt
MAX_WAIT = 36_000.0  # seconds between two attempts
