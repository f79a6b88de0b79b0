"""The command line: parse arguments, call the pipeline, print. Errors become exit codes here and nowhere else."""

from __future__ import annotations

import atexit
import codecs
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from icudl.errors import ConfigError, DeviceError, IcudlError, PluginError, StoreError
from icudl.execution.memory import ran_out_of_memory
from icudl.execution.threads import tune_process
from icudl.options import holds_password, masked


class _Terminated(KeyboardInterrupt):
    """Raised when the process is asked to end (SIGTERM)."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: Words after ``icudl``; None takes those of the process.
    """
    # Before numpy or torch are imported by anything below.
    tune_process()
    import click

    _print_what_can_be_shown()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        # A model or a function of the user's lies where the command is started, as for `python -m`; behind all others,
        # so that nothing there takes the place of an installed module.
        sys.path.append(str(Path.cwd()))
        signal.signal(signal.SIGTERM, _terminate)
    try:
        from icudl.cli.app import app

        _refuse_passwords(words)
        code = app.main(words, prog_name="icudl", standalone_mode=False)
    except (KeyboardInterrupt, click.exceptions.Abort) as error:
        print("icudl: interrupted. Finished work is kept; the same command goes on from there.", file=sys.stderr)  # noqa: T201
        # Click raises its own error from ours.
        return 143 if isinstance(error.__cause__ or error, _Terminated) else 130
    except BrokenPipeError:
        return 0
    except Exception as error:
        if "--debug" in words:
            traceback.print_exception(error)
        code, message = _explain(error)
        print(f"icudl: error: {masked(message)}", file=sys.stderr)  # noqa: T201
    return code if isinstance(code, int) else 0


def command() -> int:
    """Run the command of this process and return its exit code; the process then ends without taking torch apart.

    To free every object of the loaded libraries one by one takes the interpreter one to two seconds, for memory that
    the kernel takes back at once. What was registered to run at the end runs before.
    """
    ending = _Ending()
    # What is registered first runs last, after all threads have ended.
    atexit.register(ending.end)
    ending.code = main()
    return ending.code


class _Ending:
    """How this process ends.

    Attributes:
        code: The exit code; None where the command ended in a way that only the interpreter can report.
    """

    def __init__(self) -> None:
        self.code: int | None = None

    def end(self) -> None:
        """End the process, unless something is left to report."""
        if self.code is None:
            return
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
        except OSError:
            return  # the interpreter tries again and says so
        os._exit(self.code)


_PLAIN = str.maketrans(
    dict.fromkeys("─━═╌╴╶╸╺", "-")
    | dict.fromkeys("│┃║", "|")
    | dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╔╗╚╝╠╣╦╩╬┏┓┗┛┡┢┣┫┳┻╇╈╋┠┨┯┷┿", "+")
    | {
        "✓": "v",
        "✗": "x",
        "·": "-",
        "…": "...",
        "–": "-",
        "—": "-",
        "→": "->",
        "−": "-",
        "≤": "<=",
        "≥": ">=",
        "×": "x",
    }
)
"""What stands for a character that a terminal cannot show; any other becomes a question mark."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks; an error handler of ``codecs``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "replace").decode(), error.end


def _print_what_can_be_shown() -> None:
    """Let no character that the encoding of a terminal or pipe lacks end a command."""
    codecs.register_error("icudl.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        # Other handlers than these two were asked for, and raise nothing.
        if isinstance(stream, io.TextIOWrapper) and stream.errors in {"strict", "backslashreplace"}:
            stream.reconfigure(errors="icudl.plain")


def _refuse_passwords(words: Sequence[str]) -> None:
    """Refuse a password among the words of the command, which every user of the machine can read while it runs.

    Raises:
        ConfigError: A word holds a password.
    """
    for word in words:
        if holds_password(word):
            raise ConfigError(
                f"{masked(word)!r} holds a password, which every user of this machine can read in the list of "
                "processes. Leave it out and put it into ~/.pgpass or PGPASSWORD, or write it into the configuration "
                "file."
            )


def _explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the message of an error."""
    import click

    from icudl.store.refusals import refusal

    if isinstance(error, IcudlError):
        return error.exit_code, str(error)
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" `{context.command_path} --help` shows how it is used." if context is not None else ""
        return ConfigError.exit_code, error.format_message() + hint
    if isinstance(error, ImportError):
        return PluginError.exit_code, f"{error}. `icudl doctor` tells what is missing or broken, and what to do."
    if ran_out_of_memory(error):
        return DeviceError.exit_code, "Memory ran out. Use fewer workers (--workers 1) or smaller batches."
    reason = refusal(error)
    if reason is not None:
        return StoreError.exit_code, f"Nothing more can be written: {reason}. Make room, or write to another folder."
    return IcudlError.exit_code, f"Unexpected {type(error).__name__}: {error}. Run again with --debug and report it."
