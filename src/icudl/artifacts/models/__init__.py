"""What training, tuning, scoring and probing hand on: fitted models, their members, scores and trials."""
