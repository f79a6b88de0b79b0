"""The page that tells what was found, and figures for papers.

``study`` is what both are made from, ``build`` makes the page, ``sections`` hold its text and tables, ``charts``
describe its drawings, ``figures`` draw for papers. Numbers come from ``icudl.analysis.numbers``.
"""
