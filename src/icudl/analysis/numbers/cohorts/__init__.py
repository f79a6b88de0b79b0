"""What the stays of a cohort are like, and how often each variable was measured."""
