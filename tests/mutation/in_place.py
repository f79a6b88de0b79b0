"""Changes of loaded functions, so that the tests of many mutants share one import and one collection."""

from __future__ import annotations

import gc
import inspect
from types import CodeType, FunctionType

_PLACE = object()


def changed_functions(before: str, after: str) -> list[tuple[CodeType, CodeType]]:
    """Return the code, before and after, of the outermost functions in which two texts of a module differ.

    Empty where they differ in anything that runs while the module is imported: constants, defaults, bodies of classes.
    """
    pairs: list[tuple[CodeType, CodeType]] = []
    is_whole = _collect(compile(before, "module", "exec"), compile(after, "module", "exec"), pairs)
    return pairs if is_whole else []


def unchanged_functions(text: str) -> list[tuple[CodeType, CodeType]]:
    """Return the code of the outermost functions of a module, each beside a copy of itself."""
    pairs: list[tuple[CodeType, CodeType]] = []
    bodies = [compile(text, "module", "exec")]
    while bodies:
        for nested in (const for const in bodies.pop().co_consts if isinstance(const, CodeType)):
            if nested.co_flags & inspect.CO_OPTIMIZED:
                pairs.append((nested, nested.replace()))
            else:
                bodies.append(nested)
    return pairs


def _collect(before: CodeType, after: CodeType, pairs: list[tuple[CodeType, CodeType]]) -> bool:
    """Add the pairs of changed functions below a module or a class; return whether nothing else differs."""
    nested = [[const for const in code.co_consts if isinstance(const, CodeType)] for code in (before, after)]
    if _own(before) != _own(after) or len(nested[0]) != len(nested[1]):
        return False
    for old, new in zip(*nested, strict=True):
        if old == new:
            continue
        if old.co_flags & inspect.CO_OPTIMIZED and new.co_flags & inspect.CO_OPTIMIZED:
            pairs.append((old, new))
        elif not _collect(old, new, pairs):
            return False
    return True


def _own(code: CodeType) -> tuple[object, ...]:
    """What a code does by itself; the codes among its constants are looked at one by one."""
    # A number and its type: 1, 1.0 and True are equal.
    consts = [_PLACE if isinstance(const, CodeType) else (type(const), const) for const in code.co_consts]
    return code.co_name, code.co_code, code.co_names, code.co_varnames, consts


def change(pairs: list[tuple[CodeType, CodeType]], file: str) -> bool:
    """Give the loaded functions of a file their changed code; return whether each was found and could take it."""
    gc.unfreeze()  # what is frozen is not listed
    # Not isinstance: that asks proxies for their class, and some of them warn or load something.
    functions = [each for each in gc.get_objects() if type(each) is FunctionType]
    loaded = [each for each in functions if each.__code__.co_filename == file]
    done = bool(pairs)
    for before, after in pairs:
        targets = [function for function in loaded if function.__code__ == before]
        done = done and bool(targets)
        for function in targets:
            try:
                function.__code__ = after
            except ValueError:  # the change takes away a variable of the surrounding function
                done = False
    return done
