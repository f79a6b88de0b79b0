"""Tables for papers: cohort, scores, subgroups, attacks and fragile groups, and their writers."""
