#!/bin/sh
# Installs the PyTorch that pyproject.toml allows, built for ACCELERATOR (cpu or cuda).
# SOURCE, WHEELS and PIP say where the repository, a folder of wheels and pip are.
set -eu

requirement=$(sed -n 's/^ *"\(torch[<>=][^"]*\)",$/\1/p' "${SOURCE:-/source}/pyproject.toml")
wheels=${WHEELS:-/wheels}
pip="${PIP:-/opt/icudl/bin/pip} install --no-cache-dir --compile"
case "$ACCELERATOR" in
cuda)
    $pip "$requirement"
    ;;
cpu)
    if ls "$wheels"/torch-*.whl >/dev/null 2>&1; then
        $pip --find-links "$wheels" "$requirement"
    elif [ -n "$TORCH_INDEX" ]; then
        $pip --extra-index-url "$TORCH_INDEX" "$requirement"
    elif [ "$(uname -m)" = x86_64 ]; then
        echo "install_torch: ACCELERATOR=cpu needs --build-arg TORCH_INDEX=ADDRESS, the package index that PyTorch's" >&2
        echo "install page shows for CPU, or --build-context wheels=FOLDER with a torch wheel in it; or build with" >&2
        echo "--build-arg ACCELERATOR=cuda." >&2
        exit 1
    else
        $pip "$requirement"
    fi
    ;;
*)
    echo "install_torch: ACCELERATOR is '$ACCELERATOR'; expected cpu or cuda" >&2
    exit 1
    ;;
esac
