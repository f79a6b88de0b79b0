"""Attacks of other libraries as attack plug-ins."""
