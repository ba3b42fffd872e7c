#!/usr/bin/env bash
# Builds the wheel, installs it apart from the sources, and starts it in another directory.
# Usage: tests/wheel.sh PYTHON, a Python that has the dependencies.
set -euo pipefail
python=$1
top=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
git -C "$top" ls-files -z --cached --others --exclude-standard | (cd "$top" && xargs -0 cp --parents --no-dereference -t "$place" 2>/dev/null || true)
"$python" -m build --wheel --outdir "$place/dist" "$place" >"$place/build.log" 2>&1 || { cat "$place/build.log"; exit 1; }
"$python" -m venv --without-pip "$place/venv"
own=$("$place/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# The dependencies by path: a .pth of the other environment, its editable fedvox too, is not followed.
"$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$own/dependencies.pth"
"$python" -m pip --disable-pip-version-check --python "$place/venv/bin/python" install --quiet --no-deps --ignore-installed "$place"/dist/*.whl
mkdir "$place/elsewhere" && cd "$place/elsewhere"
"$place/venv/bin/python" - "$own" <<'PY'
import sys
import fedvox.common, fedvox.client, fedvox.server, fedvox.simulations
for package in (fedvox.common, fedvox.client, fedvox.server, fedvox.simulations):
    assert package.__file__.startswith(sys.argv[1]), package.__file__
PY
export FEDVOX_CACHE="$place/cache"
"$place/venv/bin/fedvox" --version
"$place/venv/bin/fedvox" simulate --quiet --sites 2 --rounds 1 --out run \
  --set training.local_steps=1 --set simulation.patients=6 --set 'model.channels=[4, 8]' --set data.validation=0.0
test -s run/report.html
echo "wheel: installed apart, ran in another directory, wrote a report"
