"""What can be checked of the containers without an engine; docs/howto/containers.md tells how the image was built."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from icudl.cli.app import app
from icudl.config.load import load_config

REPOSITORY = Path(__file__).parents[2]
DOCKER = REPOSITORY / "docker"
SETTINGS = {"MIMIC3": "/somewhere", "DATABASE_PASSWORD": "only-here"}


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["services"]


def install_torch(tmp_path, **settings):
    """Run the script with a pip that prints what it is asked for."""
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\necho "$@"\n')
    pip.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "SOURCE": str(REPOSITORY), "PIP": str(pip), "WHEELS": str(tmp_path)}
    environment |= {"ACCELERATOR": "cpu", "TORCH_INDEX": ""} | settings
    command = ["sh", str(DOCKER / "install_torch.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_torch_of_the_image_is_the_one_that_the_package_allows(tmp_path):
    project = (REPOSITORY / "pyproject.toml").read_text("utf-8")
    (requirement,) = re.findall(r'"(torch>=[^"]+)"', project)
    done = install_torch(tmp_path, TORCH_INDEX="some-index")
    assert done.returncode == 0
    assert done.stdout.split()[-3:] == ["--extra-index-url", "some-index", requirement]
    assert install_torch(tmp_path, ACCELERATOR="cuda").stdout.split()[-1] == requirement


def test_a_wheel_at_hand_is_preferred(tmp_path):
    (tmp_path / "torch-2.13.0-cp311-cp311-linux_x86_64.whl").touch()
    assert f"--find-links {tmp_path}" in install_torch(tmp_path, TORCH_INDEX="some-index").stdout


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="other processors get a CPU build by default")
def test_a_cpu_image_without_a_source_of_cpu_wheels_is_refused(tmp_path):
    done = install_torch(tmp_path)
    assert done.returncode == 1
    assert "TORCH_INDEX" in done.stderr
    assert "ACCELERATOR=cuda" in done.stderr


def test_an_unknown_accelerator_is_refused(tmp_path):
    done = install_torch(tmp_path, ACCELERATOR="tpu")
    assert done.returncode == 1
    assert "'tpu'" in done.stderr


def test_all_that_the_image_copies_is_let_through_by_dockerignore():
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"}
    copied = re.findall(r"^COPY (?!--from)(.+)$", (DOCKER / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    sources = [source for line in copied for source in line.split()[:-1]]
    assert len(sources) >= 5
    for source in sources:
        assert (REPOSITORY / source).exists(), source
        assert source in allowed


def test_the_image_is_run_by_an_ordinary_user():
    lines = (DOCKER / "Dockerfile").read_text("utf-8").splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    assert "USER icudl" in lines[last:]


def test_the_commands_of_the_services_exist(services):
    group, context = app, click.Context(app)
    words = services["load"]["command"].split()
    for word in words[:2]:
        group = group.get_command(context, word)
    made = group.make_context("load", words[2:])
    assert made.params["url"] == "postgresql://icudl@mimic3:5432/mimic3"


def test_the_study_reads_the_databases_of_the_services(services):
    config = load_config(DOCKER / "study.toml")
    for url, service in (
        (config.source.url, "mimic3"),
        (config.tune_model.storage, "optuna"),
        (config.tune_attack.storage, "optuna"),
    ):
        database = services[service]["environment"]
        assert url == f"postgresql://{database['POSTGRES_USER']}@{service}:5432/{database['POSTGRES_DB']}"


def test_no_password_is_written_down(services):
    for service in services.values():
        for key, value in service.get("environment", {}).items():
            assert "PASSWORD" not in key or value.startswith("${DATABASE_PASSWORD:?")


@pytest.mark.skipif(
    not (shutil.which("podman-compose") and shutil.which("podman")), reason="podman and podman-compose are not here"
)
def test_a_compose_tool_understands_the_file():
    command = ["podman-compose", "--profile", "run", "--file", "compose.yaml", "config"]
    done = subprocess.run(command, cwd=DOCKER, env=os.environ | SETTINGS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == {"icudl", "load", "mimic3", "optuna"}
    without = subprocess.run(command, cwd=DOCKER, capture_output=True, text=True, check=False)
    assert without.returncode != 0
