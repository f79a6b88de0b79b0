"""Numbers over predictions and adversarial examples, with their intervals.

``susceptibility`` and ``importance`` make the tables of the stage ``analyse``. ``numbers`` computes the numbers that
the page and the figures for papers draw.
"""
