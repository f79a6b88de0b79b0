"""What `icudl doctor` checks: one function for each subject, which yields findings and raises no error."""

from __future__ import annotations

import dataclasses
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from icudl.errors import IcudlError
from icudl.store.objects import is_address

if TYPE_CHECKING:
    from icudl.config.schema import Config
    from icudl.sources.base import DataSource

DISTRIBUTION = "icu-deep-learning"
OLDEST_PYTHON = (3, 11)
LOW_DISK_GB = 2.0
LOW_MEMORY_GB = 2.0


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found about one subject.

    Attributes:
        subject: One or two words.
        state: ``"ok"``, ``"note"`` (works, but worth knowing) or ``"broken"``.
        found: What the check found.
        advice: What to do, or "".
    """

    subject: str
    state: str
    found: str
    advice: str = ""


def examine(read_config: Callable[[], Config], store: str) -> list[Finding]:
    """Check every subject. The configuration is read here, so that a broken one is a finding like any other."""
    findings = [*_python(), *_libraries()]
    if any(finding.state == "broken" for finding in findings):
        # Nothing else can be imported to look further.
        return [*findings, *([] if is_address(store) else _store(Path(store))), *_extras()]
    findings += [
        *_commit(),
        *_threads(),
        *_loops(),
        *_machine(),
        *(_bucket(store) if is_address(store) else _store(Path(store))),
    ]
    try:
        config = read_config()
    except IcudlError as error:
        findings.append(Finding("configuration", "broken", *_split(error)))
    else:
        changed = len(config.origins)
        found = f"valid, {changed} keys not at their default" if changed else "valid, everything at its default"
        findings += [Finding("configuration", "ok", found), *_device(config), *_source(config)]
    return [*findings, *_plugins(), *_extras()]


def _split(error: Exception) -> tuple[str, str]:
    """Return the first sentence of a message, and the rest: what to do."""
    head, dot, tail = str(error).partition(". ")
    return head + ("." if dot else ""), tail


def _python() -> Iterator[Finding]:
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("Python", "broken", found, "Install Python 3.11 or newer and make the environment with it.")
    else:
        yield Finding("Python", "ok", found)


def _commit() -> Iterator[Finding]:
    from icudl.pipeline.provenance import software

    facts = software()
    yield Finding("icudl", "ok", f"{facts['versions']['icudl']}, {facts['commit'] or 'installed package'}")


def _libraries() -> Iterator[Finding]:
    for name, requirement in sorted(_required().items()):
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, "broken", "not installed", f"Install it: pip install '{requirement}'.")
            continue
        try:
            __import__({"scikit-learn": "sklearn"}.get(name, name))
        except Exception as error:  # a broken library may raise anything
            advice = f"Install it again: pip install --force-reinstall {name}=={found}."
            yield Finding(name, "broken", f"{found} cannot be imported: {type(error).__name__}: {error}", advice)
        else:
            yield Finding(name, "ok", found)


def _required() -> dict[str, str]:
    """Return the requirements that the package always needs, by name."""
    lines = [line.split(";")[0].strip() for line in requires(DISTRIBUTION) or [] if "extra ==" not in line]
    return {_name_in(line): line for line in lines}


def _name_in(requirement: str) -> str:
    """Return the name of the distribution in a requirement such as ``dask[distributed]>=2025``."""
    name = requirement.strip()
    end = next((index for index, letter in enumerate(name) if not (letter.isalnum() or letter in "-_.")), len(name))
    return name[:end]


def _threads() -> Iterator[Finding]:
    import torch

    threads = torch.get_num_threads()
    if threads == 1:
        yield Finding("threads", "ok", "one a process")
    else:
        advice = "Unset OMP_NUM_THREADS and MKL_NUM_THREADS: processes that each use several threads hinder each other."
        yield Finding("threads", "note", f"torch uses {threads} a process", advice)
    library = " ".join(platform.libc_ver()).strip()
    if library.startswith("glibc"):
        yield Finding("allocator", "ok", f"{library}, tuned")
    else:
        advice = "Training is slower than on glibc. You need not do anything."
        yield Finding("allocator", "note", library or "unknown C library", advice)


def _loops() -> Iterator[Finding]:
    """Say which loops in C there are."""
    from icudl.attacks.engine.compiled.library import passes
    from icudl.proofs.forms.compiled import relaxations
    from icudl.sources.reading.scanning.compiled import compiled_look

    advice = "{} If you need it: install a C compiler (gcc or clang)."
    for what, library, instead, slower in (
        ("large tables", compiled_look(), "numpy", "Reading MIMIC's tables takes twice as long."),
        ("attacks on LSTMs", passes(), "torch", "An attack on an LSTM or a GRU takes two to three times as long."),
        ("proofs of LSTMs", relaxations(), "torch", "A proof takes longer."),
    ):
        if library is not None:
            yield Finding(what, "ok", "by compiled loops")
        else:
            found = f"by {instead}: no C compiler, or no cache for what it makes"
            yield Finding(what, "note", found, advice.format(slower))


def _machine() -> Iterator[Finding]:
    from icudl.execution.memory import free_memory, total_memory
    from icudl.execution.threads import usable_cores

    yield Finding("cores", "ok", f"{usable_cores()} usable")
    total, free = total_memory(), free_memory()
    if total is None or free is None:
        return
    found = f"{total / 2**30:.1f} GB, {free / 2**30:.1f} GB of it free"
    if total / 2**30 < LOW_MEMORY_GB:
        yield Finding("memory", "note", found, "Use --workers 1; large data sets need more memory.")
    else:
        yield Finding("memory", "ok", found)


def _store(store: Path) -> Iterator[Finding]:
    place = store.absolute()
    folder = next(parent for parent in (place, *place.parents) if parent.exists())
    advice = "Give --store a folder that you may write to."
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Finding("store", "broken", f"{place} cannot be written: {error.strerror}", advice)
        return
    yield Finding("store", "ok", f"{place} can be written" + ("" if place.exists() else ", is made on first use"))
    free = shutil.disk_usage(folder).free / 2**30
    if free < LOW_DISK_GB:
        advice = (
            "Make room, or give --store a folder on another disk; `icudl clean` deletes what interrupted runs left."
        )
        yield Finding("disk", "note", f"{free:.1f} GB free", advice)
    else:
        yield Finding("disk", "ok", f"{free:.1f} GB free")


def _bucket(address: str) -> Iterator[Finding]:
    from icudl.store.base import open_store

    try:
        store = open_store(address)
        store.require_writable()
    except IcudlError as error:
        yield Finding("store", "broken", *_split(error))
    else:
        yield Finding("store", "ok", f"{store.name} can be written; copies and work in progress lie in {store.root}")


def _device(config: Config) -> Iterator[Finding]:
    import torch

    from icudl.execution.device import resolve_device

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    try:
        device = resolve_device(config.execution.device)
    except IcudlError as error:
        yield Finding("device", "broken", *_split(error))
        return
    if torch.version.cuda and not torch.cuda.is_available():
        advice = "Runs on the CPU. For a GPU, check the driver with nvidia-smi; without one, the CPU build is smaller."
        yield Finding("device", "note", f"{device}, although torch is built for {build}", advice)
    else:
        yield Finding("device", "ok", f"{device} ({build})")


def _source(config: Config) -> Iterator[Finding]:
    """Ask the source of the main data set whether its data can be reached, without reading them all."""
    from icudl.plugins import load_plugin

    name = config.source.name
    try:
        source: DataSource = load_plugin("icudl.sources", name)(config.source, config.run.seed)
        found = source.reach()
        config.variables.chosen(source.available)
    except IcudlError as error:
        yield Finding("source", "broken", *_split(error))
    else:
        yield Finding("source", "ok", f"{name}: {found}")


def _plugins() -> Iterator[Finding]:
    """Load every registered plug-in."""
    from icudl.plugins import GROUPS, load_plugin, plugin_version, registered

    loaded = 0
    for group in GROUPS:
        for name in registered(group):
            try:
                load_plugin(group, name)
            except Exception as error:  # someone else's module may raise anything
                kind, package = group.rpartition(".")[2].removesuffix("s"), plugin_version(group, name)
                if package.startswith(DISTRIBUTION) and isinstance(error, IcudlError):
                    # A plug-in of our own, whose message names the extra that is missing.
                    yield Finding(f"{kind} {name}", "note", *_split(error))
                    continue
                advice = f"Mend or remove {package or 'the package it comes from'}; other plug-ins work without it."
                yield Finding(f"{kind} {name}", "broken", f"{type(error).__name__}: {error}", advice)
            else:
                loaded += 1
    yield Finding("plug-ins", "ok", f"{loaded} can be loaded")


def _extras() -> Iterator[Finding]:
    """Tell which extras are complete."""
    wanted = requires(DISTRIBUTION) or []
    for extra in metadata(DISTRIBUTION).get_all("Provides-Extra") or []:
        if extra in {"dev", "all"}:
            continue
        lines = [line for line in wanted if f"extra == '{extra}'" in line or f'extra == "{extra}"' in line]
        missing = sorted({_name_in(line) for line in lines if not _is_installed(_name_in(line))})
        if missing:
            advice = f"If you need it: pip install '{DISTRIBUTION}[{extra}]'."
            yield Finding(f"extra {extra}", "note", f"not installed: {', '.join(missing)}", advice)
        else:
            yield Finding(f"extra {extra}", "ok", "installed")


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
