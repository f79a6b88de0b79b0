"""Passes of a recurrent layer alongside the unchanged stay: all values of a stay, for the price of a few forms.

A pass about one value carries states ``middle + e moves + noise``: e between -1 and 1 says where the value is, and the
noise is the sum of what all errors made on the way have become. How an error of one hour moves the state of a later
one is read off the *unchanged* stay, as the product of its Jacobians in between. These products are the same for all
values of a stay, so each is made once, and the noise of all values is one product of matrices. A pass is elsewhere than
the unchanged stay, so its slopes differ: the difference times the noise is one more error. It is small where a value
moves the network little, as most values do. Forms of their own (``passes``) are for the others.

No error is merged with others, as ``AffineForm.reduced`` has to. Rounding is bounded as in ``affine``: products of
Jacobians are float32, and what each of them loses is an error of its hour.
"""
