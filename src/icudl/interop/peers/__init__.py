"""Attacks of other libraries (Foolbox, ART) as attack plug-ins."""
