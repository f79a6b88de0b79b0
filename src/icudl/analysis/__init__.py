"""Numbers over predictions and adversarial examples, with their intervals.

``susceptibility`` and ``importance`` make the tables of the stage ``analyse``; ``numbers`` computes what the page and
the figures for papers draw.
"""
