"""Formulae as MathML, which browsers draw by themselves: no script, no fonts from elsewhere."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

ARITHMATEX = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">(?:\\\((?P<inline>.*?)\\\)|\\\[(?P<block>.*?)\\\])</(?P=tag)>', re.DOTALL
)


def on_page_content(content: str, **_: object) -> str:
    """Replace what the arithmatex extension marked."""
    return ARITHMATEX.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    if found["inline"] is not None:
        return convert(html.unescape(found["inline"]))
    return convert(html.unescape(found["block"]), display="block")
