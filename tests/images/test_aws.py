"""deploy/aws/: a stack that is well formed, can be created and gives few rights; and a guide whose commands work."""

import ast
import ipaddress
import itertools
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from cfnlint.decode import cfn_yaml
from django.core.management import CommandError, get_commands, load_command_class
from moto import mock_aws

from backend.__main__ import __doc__ as usage
from backend.web_server import HEADER_MILLISECONDS
from lockstep.feed.stream import HEARTBEAT_SECONDS
from lockstep.rest.encryption import decrypt, encrypt
from tests.acceptance.running import ROOT

AWS = ROOT / "deploy" / "aws"
STACK = AWS / "stack.yaml"
GUIDE = ROOT / "docs" / "deployment-aws.md"
REGION, ACCOUNT = "eu-central-1", "123456789012"
MAX_TEMPLATE_BYTES = 51_200  # bytes of a template that is sent as it is
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/lockstep@sha256:{'a' * 64}"
PARAMETERS = {
    "Domain": "shop.example.com",
    "CertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/01234567-89ab-cdef-0123-456789abcdef",
    "AlarmEmail": "operators@example.com",
}
# moto has CloudFormation for none of these: they are left out of what it creates, and the secrets are made before.
NOT_IN_MOTO = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::Logs::MetricFilter",
    "AWS::SecretsManager::Secret",
}
NOT_TAKEN_BY_MOTO = ("DBParameterGroupName",)  # of a database, where it is a reference


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return json.loads(json.dumps(cfn_yaml.load(str(STACK))))


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    """As they are where every condition is true."""

    def decided(tree: Any) -> Any:
        match tree:
            case {"Fn::If": [_, chosen, _]}:
                return decided(chosen)
            case dict():
                return {name: decided(below) for name, below in tree.items()}
            case list():
                return [decided(below) for below in tree]
        return tree

    return decided(template["Resources"])


@pytest.fixture(scope="module")
def containers(resources: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The one container of each task definition."""
    found = {}
    for name, resource in resources.items():
        if resource["Type"] == "AWS::ECS::TaskDefinition":
            [found[name]] = resource["Properties"]["ContainerDefinitions"]
    assert set(found) == {"WebTask", "WorkerTask", "CommandTask"}
    return found


def of_type(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one["Properties"] for one in resources.values() if one["Type"] == kind]


def values(tree: object) -> Iterator[object]:
    """Every value in a tree, the tree included."""
    yield tree
    for below in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from values(below)


# --- The template by itself -------------------------------------------------------------------------------------


def found_by_lint(text: str) -> list[str]:
    return [f"{one.rule.id} {one.message}" for one in lint(text, config=ManualArgs(regions=[REGION]))]


def test_linter_finds_nothing():
    assert found_by_lint(STACK.read_text()) == []


@pytest.mark.parametrize(
    ("there", "instead", "rule"),
    [
        ('Cpu: "1024"', 'Cpu: "1000"', "E3047"),
        ("!Ref TaskGroup", "!Ref TaskGruop", "E1020"),
        ("DeletionProtection: true", "DeletionProtected: true", "E3002"),
    ],
)
def test_linter_finds_a_planted_fault(there: str, instead: str, rule: str):
    text = STACK.read_text()
    assert there in text
    assert any(line.startswith(rule) for line in found_by_lint(text.replace(there, instead, 1)))


def test_template_is_small_enough_to_be_sent_as_it_is():
    assert STACK.stat().st_size < MAX_TEMPLATE_BYTES


def test_no_secret_is_written_in_the_template(resources: dict[str, Any], containers: dict[str, Any]):
    for container in containers.values():
        named = {one["Name"] for one in container["Environment"]}
        assert not [name for name in named if re.search("PASSWORD|SECRET|TOKEN|KEY", name)]
        assert all(set(one["ValueFrom"]) == {"Ref"} for one in container["Secrets"])
        [address] = [one["Value"] for one in container["Environment"] if one["Name"] == "DATABASE_URL"]
        assert re.match(r"postgresql://lockstep@", address["Fn::Sub"][0])  # a name, and no password
    for secret in of_type(resources, "AWS::SecretsManager::Secret"):
        assert "SecretString" not in secret
        assert secret["GenerateSecretString"]["PasswordLength"] >= 24
    assert resources["SecretKey"]["Properties"]["GenerateSecretString"]["PasswordLength"] >= 50  # or it does not start
    assert "{{resolve:secretsmanager:" in resources["Database"]["Properties"]["MasterUserPassword"]["Fn::Sub"]


def test_database_is_private_encrypted_protected_and_backed_up(resources: dict[str, Any]):
    database = resources["Database"]
    assert database["DeletionPolicy"] == database["UpdateReplacePolicy"] == "Snapshot"
    properties = database["Properties"]
    assert properties["PubliclyAccessible"] is False
    assert properties["StorageEncrypted"] is properties["DeletionProtection"] is properties["MultiAZ"] is True
    assert properties["BackupRetentionPeriod"] >= 7
    assert resources["DatabaseParameters"]["Properties"]["Parameters"]["rds.force_ssl"] == "1"
    assert resources["DatabaseSubnets"]["Properties"]["SubnetIds"] == [{"Ref": "PrivateA"}, {"Ref": "PrivateB"}]
    [rule] = resources["DatabaseGroup"]["Properties"]["SecurityGroupIngress"]
    assert (rule["FromPort"], rule["ToPort"], rule["SourceSecurityGroupId"]) == (5432, 5432, {"Ref": "TaskGroup"})


def test_connection_to_database_is_encrypted_and_checked_by_default(template: dict[str, Any]):
    parameter = template["Parameters"]["DatabaseTls"]
    assert parameter["Default"] == "sslmode=verify-full&sslrootcert=/etc/ssl/rds.pem"
    assert all(re.search("sslmode=(verify-full|require)", one) for one in parameter["AllowedValues"])
    assert "rds.pem /etc/ssl/rds.pem" in (AWS / "Dockerfile").read_text()


def test_only_the_load_balancer_reaches_tasks(resources: dict[str, Any]):
    [rule] = resources["TaskGroup"]["Properties"]["SecurityGroupIngress"]
    assert (rule["FromPort"], rule["ToPort"]) == (8000, 8000)
    assert rule["SourceSecurityGroupId"] == {"Ref": "LoadBalancerGroup"}
    for service in of_type(resources, "AWS::ECS::Service"):
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"
        assert network["Subnets"] == [{"Ref": "PrivateA"}, {"Ref": "PrivateB"}]


def test_http_is_redirected_and_https_has_a_certificate(resources: dict[str, Any]):
    [redirect] = resources["HttpListener"]["Properties"]["DefaultActions"]
    assert redirect["RedirectConfig"] == {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    https = resources["HttpsListener"]["Properties"]
    assert https["Certificates"] == [{"CertificateArn": {"Ref": "CertificateArn"}}]
    assert "TLS13-1-2" in https["SslPolicy"]


def test_execution_roles_have_no_more_rights_than_a_start_needs(resources: dict[str, Any]):
    for name, secrets in {
        "ServiceExecutionRole": {
            "SecretKey",
            "MetricsToken",
            "DatabasePassword",
            "SecretKeyFallbacks",
            "CounterSecret",
        },
        "CommandExecutionRole": {
            "SecretKey",
            "DatabasePassword",
            "AdminPassword",
            "SecretKeyFallbacks",
            "CounterSecret",
        },
    }.items():
        role = resources[name]["Properties"]
        assert "ManagedPolicyArns" not in role
        [policy] = role["Policies"]
        statements = policy["PolicyDocument"]["Statement"]
        everywhere = [one["Action"] for one in statements if "*" in values(one["Resource"])]
        assert everywhere == ["ecr:GetAuthorizationToken"]  # which AWS grants on everything or not at all
        actions = [word for one in statements for word in values(one["Action"]) if isinstance(word, str)]
        assert not [action for action in actions if "*" in action]
        [readable] = [one["Resource"] for one in statements if one["Action"] == "secretsmanager:GetSecretValue"]
        assert {one["Ref"] for one in readable} == secrets
        [file] = [one["Resource"] for one in statements if one["Action"] == "s3:GetObject"]
        assert file == {"Ref": "SettingsFile"}


def test_each_container_may_start_with_the_secrets_that_it_is_given(
    resources: dict[str, Any], containers: dict[str, Any]
):
    for name, container in containers.items():
        role = resources[resources[name]["Properties"]["ExecutionRoleArn"]["Fn::GetAtt"][0]]
        granted = {one["Ref"] for one in values(role) if isinstance(one, dict) and set(one) == {"Ref"}}
        assert {one["ValueFrom"]["Ref"] for one in container["Secrets"]} <= granted
        log = container["LogConfiguration"]["Options"]["awslogs-group"]["Ref"]
        assert [log, "Arn"] in [one.get("Fn::GetAtt") for one in values(role) if isinstance(one, dict)]


def test_tasks_have_no_rights_in_aws(resources: dict[str, Any]):
    assert not [one for one in of_type(resources, "AWS::ECS::TaskDefinition") if "TaskRoleArn" in one]


def test_containers_name_only_words_of_ours_and_are_hardened(containers: dict[str, Any]):
    words = set(re.findall(r"^    ([a-z]+)", str(usage), re.MULTILINE))
    assert {"web", "worker", "migrate", "healthcheck"} <= words
    for name, container in containers.items():
        assert "EntryPoint" not in container
        assert container["Command"][0] in words
        if name != "CommandTask":
            assert container["HealthCheck"]["Command"][:5] == ["CMD", "python", "-m", "backend", "healthcheck"]
            assert container["HealthCheck"]["Command"][5:] == container["Command"]
        assert container["User"] == "10001:10001"
        assert container["ReadonlyRootFilesystem"] is True
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        [writable] = container["LinuxParameters"]["Tmpfs"]
        assert writable["ContainerPath"] == "/tmp"
        assert container["StopTimeout"] >= 10


def test_an_ending_web_task_serves_requests_in_flight(resources: dict[str, Any], containers: dict[str, Any]):
    environment = {one["Name"]: one["Value"] for one in containers["WebTask"]["Environment"]}
    drained = float(environment["WEB_DRAIN_SECONDS"])
    last = runpy.run_path(str(ROOT / "backend" / "__main__.py"))["LAST_SECONDS"]
    assert drained >= 10
    assert drained + last < containers["WebTask"]["StopTimeout"]
    assert environment["TRUSTED_PROXIES"] == {"Ref": "VpcCidr"}
    assert environment["ALLOWED_HOSTS"] == {"Ref": "Domain"}


def test_web_tasks_are_not_replaced_while_the_database_fails_over(resources: dict[str, Any]):
    check = resources["WebTargets"]["Properties"]
    assert check["HealthCheckPath"] == "/readyz"  # a new version is in service only when it is ready
    fail_over = 60  # seconds or so, by RDS
    assert check["HealthCheckIntervalSeconds"] * check["UnhealthyThresholdCount"] > 1.5 * fail_over
    grace = resources["WebService"]["Properties"]["HealthCheckGracePeriodSeconds"]
    assert check["HealthCheckIntervalSeconds"] * check["HealthyThresholdCount"] < grace


def test_no_statement_of_the_database_is_logged(resources: dict[str, Any]):
    """Values stand in them, and the log leaves the database."""
    parameters = resources["DatabaseParameters"]["Properties"]["Parameters"]
    assert parameters["log_min_duration_statement"] == "-1"
    assert parameters["log_min_error_statement"] == "panic"
    assert parameters["log_error_verbosity"] == "terse"
    assert parameters["shared_preload_libraries"] == "pg_stat_statements"


def test_load_balancer_closes_idle_connections_before_the_web_server_does(resources: dict[str, Any]):
    attributes = resources["LoadBalancer"]["Properties"]["LoadBalancerAttributes"]
    [idle] = [int(one["Value"]) for one in attributes if one["Key"] == "idle_timeout.timeout_seconds"]
    assert HEARTBEAT_SECONDS < idle < HEADER_MILLISECONDS / 1_000


def test_deployments_keep_full_capacity_and_roll_back_when_they_fail(resources: dict[str, Any]):
    services = of_type(resources, "AWS::ECS::Service")
    assert len(services) == 2
    for service in services:
        assert service["LaunchType"] == "FARGATE"
        deployment = service["DeploymentConfiguration"]
        assert deployment["MinimumHealthyPercent"] == 100
        assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
        assert "DesiredCount" not in service  # else each update of the stack would undo the scaling
    for scaling in of_type(resources, "AWS::ApplicationAutoScaling::ScalableTarget"):
        assert scaling["MinCapacity"] * deployment["MaximumPercent"] // 100 > scaling["MinCapacity"]


def test_image_tags_are_immutable_and_images_are_named_by_digest(template: dict[str, Any], resources: dict[str, Any]):
    repository = resources["Repository"]["Properties"]
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    for name in ("Image", "MigrationImage"):
        pattern = template["Parameters"][name]["AllowedPattern"]
        assert re.fullmatch(pattern, IMAGE)
        assert not re.fullmatch(pattern, "lockstep:latest")


def test_logs_expire_and_alarms_have_a_recipient(resources: dict[str, Any]):
    assert [one["RetentionInDays"] for one in of_type(resources, "AWS::Logs::LogGroup")] == [90, 90, 90]
    assert resources["Alarms"]["Properties"]["Subscription"] == [
        {"Protocol": "email", "Endpoint": {"Ref": "AlarmEmail"}}
    ]
    alarms = of_type(resources, "AWS::CloudWatch::Alarm")
    assert {one["MetricName"] for one in alarms} == {
        *("HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count", "UnHealthyHostCount"),
        *("RunningTaskCount", "errors", "CPUUtilization", "FreeStorageSpace"),
    }
    assert all(alarm["AlarmActions"] == [{"Ref": "Alarms"}] for alarm in alarms)


def test_alarms_lead_to_the_page_that_is_about_them(resources: dict[str, Any]):
    pages = {
        alarm["MetricName"]: re.findall(r'docs/operations.md, "([^"]+)"', alarm["AlarmDescription"])
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm")
    }
    assert pages == {
        "HTTPCode_Target_5XX_Count": ["Requests fail, or are slow"],
        "HTTPCode_ELB_5XX_Count": ["Clients do not reach it"],
        "UnHealthyHostCount": ["Requests fail, or are slow"],
        "RunningTaskCount": ["No worker delivers"],
        "errors": [],
        "CPUUtilization": ["Everything is slower, and nothing fails"],
        "FreeStorageSpace": ["The change log grows"],
    }
    titles = re.findall("^### (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert {title for named in pages.values() for title in named} <= set(titles)


def test_alarms_of_the_database_follow_the_one_that_is_used(template: dict[str, Any]):
    used = template["Outputs"]["Database"]["Value"]
    assert {"Ref": "DatabaseHost"} in values(used)
    alarms = [one for one in of_type(template["Resources"], "AWS::CloudWatch::Alarm") if one["Namespace"] == "AWS/RDS"]
    assert [one["Dimensions"] for one in alarms] == [[{"Name": "DBInstanceIdentifier", "Value": used}]] * 2


# --- Created in moto --------------------------------------------------------------------------------------------


def for_moto(template: dict[str, Any], secrets: dict[str, str]) -> str:
    """The template without what moto cannot create, with subnets computed and secrets that are there already."""
    network = ipaddress.ip_network(template["Parameters"]["VpcCidr"]["Default"])

    def adapted(tree: Any) -> Any:
        match tree:
            case {"Fn::Cidr": [_, number, bits]}:
                return [str(one) for one in list(network.subnets(new_prefix=32 - int(bits)))[: int(number)]]
            case {"Ref": name} if name in secrets:
                return secrets[name]
            case {"Fn::Sub": str(text)}:
                for name, arn in secrets.items():
                    text = text.replace(f"${{{name}}}", arn)
                return {"Fn::Sub": text}
            case dict():
                return {name: adapted(below) for name, below in tree.items() if name not in NOT_TAKEN_BY_MOTO}
            case list():
                return [adapted(below) for below in tree]
        return tree

    kept = {name: one for name, one in template["Resources"].items() if one["Type"] not in NOT_IN_MOTO}
    return json.dumps(adapted({**template, "Resources": kept}))


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes clients of an AWS within this process."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield lambda service: boto3.client(service, region_name=REGION)


def secrets_in(clients: Any, template: dict[str, Any]) -> dict[str, str]:
    manager = clients("secretsmanager")
    names = [name for name, one in template["Resources"].items() if one["Type"] == "AWS::SecretsManager::Secret"]
    return {name: manager.create_secret(Name=name, SecretString=f"the {name} of a test")["ARN"] for name in names}


def change(action: Any, body: str, **more: str) -> None:
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in {**PARAMETERS, **more}.items()]
    action(StackName="lockstep", TemplateBody=body, Parameters=parameters, Capabilities=["CAPABILITY_IAM"])


def status(clients: Any) -> tuple[str, set[str]]:
    """Of the stack, and the logical ids of what it has."""
    formation = clients("cloudformation")
    [stack] = formation.describe_stacks(StackName="lockstep")["Stacks"]
    pages = formation.get_paginator("list_stack_resources").paginate(StackName="lockstep")
    found = [one for page in pages for one in page["StackResourceSummaries"]]
    return stack["StackStatus"], {one["LogicalResourceId"] for one in found}


def test_stack_is_created_in_the_three_steps_of_the_guide(clients: Any, template: dict[str, Any]):
    body = for_moto(template, secrets_in(clients, template))
    formation, ecs = clients("cloudformation"), clients("ecs")
    certificate = clients("acm").request_certificate(DomainName=PARAMETERS["Domain"])["CertificateArn"]
    change(formation.create_stack, body, CertificateArn=certificate)
    state, there = status(clients)
    assert state == "CREATE_COMPLETE"
    assert {"Vpc", "NatA", "NatB", "LoadBalancer", "HttpsListener", "Database", "Repository", "Cluster"} <= there
    assert not there & {"CommandTask", "WebTask", "WebService", "WorkerService"}

    change(formation.update_stack, body, CertificateArn=certificate, MigrationImage=IMAGE)
    state, there = status(clients)
    assert state == "UPDATE_COMPLETE"
    assert "CommandTask" in there
    assert not there & {"WebTask", "WebService", "WorkerService"}

    change(formation.update_stack, body, CertificateArn=certificate, MigrationImage=IMAGE, Image=IMAGE)
    state, there = status(clients)
    assert state == "UPDATE_COMPLETE"
    left_out = {name for name, one in template["Resources"].items() if one["Type"] in NOT_IN_MOTO}
    assert there == set(template["Resources"]) - left_out
    families = ecs.list_task_definition_families()["families"]
    assert families == ["lockstep-command", "lockstep-web", "lockstep-worker"]
    services = ecs.describe_services(cluster="lockstep", services=["web", "worker"])["services"]
    assert {one["serviceName"] for one in services} == {"web", "worker"}
    [database] = clients("rds").describe_db_instances()["DBInstances"]
    assert not database["PubliclyAccessible"]
    [balancer] = clients("elbv2").describe_load_balancers()["LoadBalancers"]
    listeners = clients("elbv2").describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert {(one["Port"], one["Protocol"]) for one in listeners} == {(80, "HTTP"), (443, "HTTPS")}


MORE = {
    "DatabaseHost": "lockstep-restored.abc.eu-central-1.rds.amazonaws.com",
    "CounterUrl": "https://counter.example.com",
    "CounterSecret": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:counter-abcdef",
    "SecretKeyFallbacks": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:fallbacks-abcdef",
    "SettingsFile": "arn:aws:s3:::settings-of-mine/lockstep/1.env",
}


@pytest.mark.parametrize("more", [{}, MORE])
def test_further_settings_reach_every_task_with_the_right_to_read_them(
    clients: Any, template: dict[str, Any], more: dict[str, str]
):
    body = for_moto(template, secrets_in(clients, template))
    certificate = clients("acm").request_certificate(DomainName=PARAMETERS["Domain"])["CertificateArn"]
    create = clients("cloudformation").create_stack
    change(create, body, CertificateArn=certificate, MigrationImage=IMAGE, Image=IMAGE, **more)
    [stack] = clients("cloudformation").describe_stacks(StackName="lockstep")["Stacks"]
    [database] = [one["OutputValue"] for one in stack["Outputs"] if one["OutputKey"] == "Database"]
    assert (database == "lockstep-restored") == bool(more)
    wanted = {more["SecretKeyFallbacks"], more["CounterSecret"]} if more else set()
    for family in ("web", "worker", "command"):
        task = clients("ecs").describe_task_definition(taskDefinition=f"lockstep-{family}")["taskDefinition"]
        [container] = task["containerDefinitions"]
        files = [one["value"] for one in container.get("environmentFiles", ())]
        assert files == ([more["SettingsFile"]] if more else [])
        secrets = {one["name"]: one["valueFrom"] for one in there(container["secrets"])}
        assert {secrets.pop(name) for name in ("SECRET_KEY_FALLBACKS", "COUNTER_SECRET") if name in secrets} == wanted
        environment = {one["name"]: one["value"] for one in container["environment"]}
        assert environment["COUNTER_URL"] == more.get("CounterUrl", "")
        assert (f"@{more.get('DatabaseHost')}:5432/" in environment["DATABASE_URL"]) == bool(more)
        rights = start_rights(clients, "Command" if family == "command" else "Service")
        assert wanted <= rights["secretsmanager:GetSecretValue"]
        assert rights.get("s3:GetObject", set()) == set(files)
        assert rights.get("s3:GetBucketLocation", set()) == ({"arn:aws:s3:::settings-of-mine"} if more else set())


def there(found: Iterable[Any]) -> list[Any]:
    """Without AWS::NoValue, which moto leaves in a list."""
    return [one for one in found if one]


def start_rights(clients: Any, kind: str) -> dict[str, set[str]]:
    """The resources of each action that the execution role may take; moto does not say which role a task has,
    and gives the policy as Python writes it.
    """
    iam = clients("iam")
    [role] = [one["RoleName"] for one in iam.list_roles()["Roles"] if f"{kind}ExecutionRole" in one["RoleName"]]
    found: dict[str, set[str]] = {}
    document = ast.literal_eval(iam.get_role_policy(RoleName=role, PolicyName="start")["PolicyDocument"])
    for one in there(document["Statement"]):
        actions, granted = ([one[key]] if isinstance(one[key], str) else one[key] for key in ("Action", "Resource"))
        for action in actions:
            found.setdefault(action, set()).update(there(granted))
    return found


@pytest.mark.parametrize(
    ("parameter", "right", "wrong"),
    [
        ("SettingsFile", MORE["SettingsFile"], "https://settings-of-mine.s3.amazonaws.com/1.env"),
        ("SecretKeyFallbacks", MORE["SecretKeyFallbacks"], "the-former-key-itself"),
        ("CounterSecret", MORE["CounterSecret"], "whsec_AAAA"),
    ],
)
def test_secrets_and_settings_are_given_by_where_they_are(
    template: dict[str, Any], parameter: str, right: str, wrong: str
):
    pattern = template["Parameters"][parameter]["AllowedPattern"]
    assert re.fullmatch(pattern, right)
    assert re.fullmatch(pattern, "")
    assert not re.fullmatch(pattern, wrong)


# --- deploy/aws/task.py -----------------------------------------------------------------------------------------

STUB = """
import json, os, sys
words = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(words) + "\\n")
outputs = [{"OutputKey": "Subnets", "OutputValue": "a,b"}, {"OutputKey": "SecurityGroup", "OutputValue": "g"}]
code = os.environ.get("CODE")
container = {"name": "command", **({"exitCode": int(code)} if code else {"reason": "no such image"})}
failures = json.loads(os.environ.get("FAILURES", "[]"))
answers = {
    "describe-stacks": {"Stacks": [{"Outputs": outputs}]},
    "run-task": {"tasks": [] if failures else [{"taskArn": "arn:t/lockstep/1"}], "failures": failures},
    "describe-tasks": {"tasks": [{"lastStatus": "STOPPED", "containers": [container]}]},
    "get-log-events": {"events": [{"message": "what it wrote"}]},
}
if words[1] == os.environ.get("REFUSED"):
    sys.exit("not authorized")
print(json.dumps(answers[words[1]]) if words[1] in answers else "")
"""


def run_task(folder: Path, *words: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """task.py with an `aws` that only answers, and what that was asked."""
    (folder / "aws.py").write_text(STUB)
    (folder / "calls").touch()
    settings = {"AWS": shlex.join([sys.executable, str(folder / "aws.py")]), "CALLS": str(folder / "calls")}
    done = subprocess.run(
        [sys.executable, AWS / "task.py", *words],
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


@pytest.mark.parametrize("code", [0, 3])
def test_task_runs_a_command_and_ends_as_it_ended(tmp_path: Path, code: int):
    done, calls = run_task(tmp_path, "lockstep", "audit", CODE=str(code), STACK="shop")
    assert done.returncode == code
    assert "what it wrote" in done.stdout
    [run] = [call for call in calls if call[1] == "run-task"]
    assert run[run.index("--cluster") + 1] == "shop"
    assert run[run.index("--task-definition") + 1] == "shop-command"
    network = json.loads(run[run.index("--network-configuration") + 1])["awsvpcConfiguration"]
    assert network == {"subnets": ["a", "b"], "securityGroups": ["g"], "assignPublicIp": "DISABLED"}
    [override] = json.loads(run[run.index("--overrides") + 1])["containerOverrides"]
    assert override == {"name": "command", "command": ["lockstep", "audit"]}


def test_task_waits_as_long_as_it_takes(tmp_path: Path):
    done, _ = run_task(tmp_path, CODE="0", REFUSED="wait")  # which gives up after ten minutes
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "The command has no exit code: no such image"),
        ({"FAILURES": '[{"reason": "RESOURCE:FARGATE"}]'}, "The task did not start: [{"),
        ({"REFUSED": "run-task"}, "ecs run-task: not authorized"),
    ],
)
def test_task_reports_why_a_command_did_not_run(tmp_path: Path, environment: dict[str, str], sentence: str):
    done, _ = run_task(tmp_path, "migrate", **environment)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_task_uses_the_names_of_the_stack(resources: dict[str, Any], containers: dict[str, Any]):
    assert containers["CommandTask"]["Name"] == runpy.run_path(str(AWS / "task.py"))["CONTAINER"]
    assert resources["CommandTask"]["Properties"]["Family"] == {"Fn::Sub": "${AWS::StackName}-command"}
    assert resources["CommandLog"]["Properties"]["LogGroupName"] == {"Fn::Sub": "/${AWS::StackName}/command"}
    assert containers["CommandTask"]["LogConfiguration"]["Options"]["awslogs-stream-prefix"] == "command"


# --- deploy/aws/Dockerfile --------------------------------------------------------------------------------------


def found_by_hadolint(text: str) -> str:
    words = [Path(sys.executable).with_name("hadolint"), "-"]
    return subprocess.run(words, input=text, capture_output=True, text=True, check=False).stdout


def test_image_with_the_certificates_is_ours_and_one_file():
    text = (AWS / "Dockerfile").read_text()
    assert found_by_hadolint(text) == ""
    assert re.findall(r"^[A-Z]+", text, re.MULTILINE) == [
        "ARG",
        "FROM",
        "COPY",
    ]  # user and entry point are as they were
    assert "DL3000" in found_by_hadolint(f"{text}WORKDIR relative\n")


# --- The picture and the guide ----------------------------------------------------------------------------------


def test_diagram_equals_the_generated_one():
    assert (ROOT / "docs" / "aws.svg").read_text() == runpy.run_path(str(AWS / "diagram.py"))["draw"]()


# What the guide has beside `aws` and `docker push`, `login`, and where it is run. Each is found at the start of a line.
RUN_BY_A_TEST = {
    "export ": "test_blocks_of_the_guide_run_in_a_shell",
    "python3 deploy/aws/task.py ": "test_commands_of_the_guide_exist_and_take_their_arguments",
    "IMAGE=lockstep:$VERSION make image": "tests/images/test_image.py",
    "for SERVICE in web worker": "test_blocks_of_the_guide_run_in_a_shell",
    "output() {": "test_blocks_of_the_guide_run_in_a_shell",
}
CANNOT_BE_RUN = {
    "curl --fail --output deploy/aws/rds.pem ": "AWS publishes the certificates",
    "docker build --build-arg IMAGE=": "needs those certificates and Docker; the file itself is linted",
    "curl --fail https://$DOMAIN/readyz": "the system at AWS",
}
OF_AWS = ("aws ", "docker push ")


def blocks() -> list[str]:
    """The guide's blocks of commands."""
    return re.findall(r"(?:^    .+\n)+", GUIDE.read_text(), re.MULTILINE)


def commands() -> list[str]:
    """One command a string: continued lines are joined, and a loop is one."""
    found: list[str] = []
    for block in blocks():
        text = re.sub(r"^    ", "", block, flags=re.MULTILINE).replace("\\\n", " ")
        text = re.sub(r"^for .*?^done$", lambda loop: loop[0].replace("\n", "; "), text, flags=re.MULTILINE | re.DOTALL)
        found += text.splitlines()
    return found


def test_every_command_of_the_guide_is_run_or_listed():
    known = (*OF_AWS, *RUN_BY_A_TEST, *CANNOT_BE_RUN)
    assert [command for command in commands() if not command.startswith(known)] == []
    for start in known:
        assert [command for command in commands() if command.startswith(start)], f"{start}: it is not in the guide"


def test_blocks_of_the_guide_run_in_a_shell(tmp_path: Path):
    """All blocks one after the other, with an `aws` and others that only note what they are asked."""
    for name in ("aws", "docker", "curl", "make", "python3"):
        (tmp_path / name).write_text(
            '#!/bin/sh\n{ printf "%s" "${0##*/}"; printf " %s" "$@"; echo; } >> "$CALLS"\necho x\n'
        )
        (tmp_path / name).chmod(0o755)
    script = "set -eu\n" + "\n".join(re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks())
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls"), "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text()
    assert calls.count("aws cloudformation deploy --stack-name lockstep") == 11
    assert "--parameter-overrides Domain=shop.example.com CertificateArn=arn:aws:acm:" in calls
    assert "  " not in calls  # no variable is empty


def test_parameters_and_outputs_of_the_guide_are_those_of_the_stack(template: dict[str, Any]):
    text = GUIDE.read_text()
    overrides = re.findall(r"--parameter-overrides (.+)", text)
    named = {word.partition("=")[0] for line in overrides for word in line.split()}
    assert named <= set(template["Parameters"])
    assert {name for name, one in template["Parameters"].items() if "Default" not in one} <= named
    wanted = {*re.findall(r"OutputKey=='(\w+)'", text), *re.findall(r"\(output (\w+)\)", text)}
    assert wanted <= set(template["Outputs"])
    for start, end in re.findall(r"--service(?:s)? (\w+)(?: (\w+))?", text):
        assert {start, end} - {""} <= {"web", "worker"}
    for name in re.findall(r"`([A-Z]\w+)(?:=[^`]+)?`", text):
        if name[1:2].islower():
            assert name in {*template["Parameters"], *template["Outputs"]}, name


def test_every_task_knows_both_keys_while_one_replaces_the_other(settings: Any):
    """By the commands of the guide, and in whichever moment a task starts."""
    section = GUIDE.read_text().partition("\n## Another SECRET_KEY\n")[2].partition("\n## ")[0]
    steps = [
        "create-secret --name $STACK-fallbacks --secret-string $NEW_KEY,$OLD_KEY",
        "SecretKeyFallbacks=$FALLBACKS\n",
        "put-secret-value --secret-id $KEY --secret-string $NEW_KEY",
        *(f"--service {service} --force-new-deployment" for service in ("web", "worker")),
        "services-stable",
        "task.py reseal_secrets",
        "SecretKeyFallbacks=\n",
        "delete-secret",
    ]
    places = [section.index(step) for step in steps]
    assert places == sorted(places)
    settings.SECRET_KEY_FALLBACKS = ["new" * 20, "old" * 20]
    for sealed_by, read_by in itertools.product(("new" * 20, "old" * 20), repeat=2):
        settings.SECRET_KEY = sealed_by
        sealed = encrypt("a test", b"content")
        settings.SECRET_KEY = read_by
        assert decrypt("a test", sealed) == b"content"


def test_commands_of_the_guide_exist_and_take_their_arguments():
    """Each is known and takes these arguments."""
    ours = {line.removeprefix("python3 deploy/aws/task.py ") for line in commands() if "aws/task.py " in line}
    assert len(ours) >= 7
    for line in sorted(ours):
        name, *arguments = shlex.split(line.replace("$ALARM_EMAIL", "operators@example.com"))
        command = load_command_class(get_commands()[name], name)
        command.create_parser("manage.py", name).parse_args(arguments)  # raises CommandError
    with pytest.raises(CommandError):
        load_command_class(get_commands()["migrate"], "migrate").create_parser("", "").parse_args(["--no-such-option"])
