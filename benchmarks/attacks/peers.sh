#!/bin/sh
# Makes an environment with icudl and the attack libraries that benchmarks/attacks/beside_peers.py compares it with.
#
#   benchmarks/attacks/peers.sh /path/to/new/environment
#
# The libraries are installed without their dependencies, which are listed here instead: torchattacks asks for
# torchvision (and through it for another torch), adversarial-library and attackbenchlib for visdom and wandb, which
# nothing here uses, and Foolbox's Brendel-Bethge attack needs numba without saying so. The constraints keep torch at
# the release icudl is tested with.
set -eu
folder=${1:?usage: benchmarks/attacks/peers.sh FOLDER}
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --constraint "$here/peers-constraints.txt" --editable "$here/../.."
"$folder/bin/pip" install --quiet --constraint "$here/peers-constraints.txt" \
    eagerpy gitpython numba requests scikit-learn scipy setuptools six tqdm
"$folder/bin/pip" install --quiet --no-deps --constraint "$here/peers-constraints.txt" \
    adv-lib adversarial-robustness-toolbox attackbenchlib foolbox torchattacks
