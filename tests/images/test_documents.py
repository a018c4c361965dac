"""Every command of docs/deployment.md is run by a test, or stands among those that cannot be."""

import re

from tests.images.engine import ROOT

# By what runs it. Where a test runs it with other files, ports or names beside it, it is the same command.
RUN = {
    "make image": "test_image.py: the same script",
    "docker compose up": "test_development.py",
    "docker compose up --detach": "production.py, with --file for COMPOSE_FILE",
    "docker compose run --rm tests": "test_container_of_tests.py, with one app",
    'docker compose run --rm tests backend/posts -m "not slow"': "test_container_of_tests.py",
    "python3 deploy/make_secrets.py": "test_production.py",
    "echo ALLOWED_HOSTS=shop.example >> .env": "production.py, in the environment",
    "echo COMPOSE_FILE=compose.yaml:compose.production.yaml >> .env": "test_files.py",
    "echo LOCKSTEP_IMAGE=lockstep:1 >> .env": "production.py, in the environment",
    "IMAGE=lockstep:1 make image": "test_image.py: the same script",
    "docker compose --profile monitoring up --detach": (
        "test_production_monitoring.py; test_monitoring.py without containers"
    ),
    "python3 deploy/roll.py": "test_production_versions.py",
    "docker compose exec web python -m backend createsuperuser": "test_production.py, with --no-input",
    "docker compose exec web python -m backend check --deploy --database default": "test_production.py",
    "python3 -m devstack.launcher.install --production": "test_image.py: a step of the Dockerfile",
    "python -m backend reseal_secrets": "tests/faults/test_rotation.py",
    "CREATE ROLE lockstep_b LOGIN PASSWORD 'second-password' IN ROLE lockstep": "tests/faults/test_rotation.py",
    "ALTER ROLE lockstep_b SET role = 'lockstep'": "tests/faults/test_rotation.py",
}
# They need a registry, an engine for another processor, a cluster, or a machine that systemd runs.
CANNOT = (
    "IMAGE=registry.example/lockstep:1 ",
    "kubectl create namespace",
    "kubectl -n lockstep ",
    "kubectl apply ",
    "git clone ",
    *("install -d", "install -m ", "systemctl ", "systemd-run "),
)


def commands() -> list[str]:
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^    .+\n)+", text, re.MULTILINE)
    joined = "".join(blocks).replace("\\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines()]


def test_each_command_of_the_guide_is_run_or_said_to_be_impossible():
    found = commands()
    assert len(found) > 15
    unknown = [command for command in found if command not in RUN and not command.startswith(CANNOT)]
    assert unknown == []
    assert set(RUN) <= set(found), "a command that no longer stands in the guide"
