"""The PhysioNet 2012 challenge, from its archives or unpacked folders."""
