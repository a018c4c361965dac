"""How the state machines of hypothesis are run here."""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def run_machine(machine: type[RuleBasedStateMachine], schedules: int, steps: int = 40) -> None:
    """So many schedules of so many steps; a seeded bug needs no shortest example."""
    options = settings(
        max_examples=schedules,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate] if "LOCKSTEP_NO_SHRINK" in os.environ else list(Phase),
    )
    run_state_machine_as_test(machine, settings=options)
