"""A small study's tables apart from models and attacks: a hospital, and another one that is external."""

TWO_HOSPITALS = """
[execution]
executor = "serial"
[data.main]
source = "synthetic"
patients = 260
[data.elsewhere]
source = "synthetic"
patients = 120
seed = 7
role = "external"
[window]
hours = 12
[variables]
use = ["potassium", "heartrate", "sysbp"]
[split]
folds = 2
[training]
max_epochs = 2
bootstrap_samples = 20
baselines = false
"""
