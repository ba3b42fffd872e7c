#!/usr/bin/env bash
# Makes the bundle that a machine without a network installs from:
#   OUT/fedvox-VERSION-PYTHON-MACHINE.tar   wheels, constraints, units, documents, install.sh,
#                                           checksums and a signature
# Usage: deploy/bundle.sh PYTHON OUT KEY
#   PYTHON   a Python of the minor release that the target machines have, with pip and build
#   KEY      the release key (P-384, PEM); made where there is none
# With CUDA=yes a torch for NVIDIA cards is taken; without it, one of those ends the build.
set -euo pipefail
export LC_ALL=C
umask 022
[ $# -eq 3 ] || { sed -n '5,8p' "$0" >&2; exit 2; }
python=$1 key=$3
top=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
place=$(mktemp -d "$out/.bundle.XXXXXX")
trap 'rm -rf "$place"' EXIT
SOURCE_DATE_EPOCH=$(git -C "$top" log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# The sources as they stand, apart from what earlier builds have left beside them.
mkdir "$place/source" "$place/wheels"
cd "$top"
comm -z -23 <(git ls-files -z --cached --others --exclude-standard | sort -zu) <(git ls-files -z --deleted | sort -z) |
  xargs -0 cp --parents --no-dereference -t "$place/source"
echo "building fedvox"
"$python" -m build --wheel --outdir "$place/wheels" "$place/source" >"$place/build.log" 2>&1 ||
  { cat "$place/build.log" >&2; exit 1; }
version=$(basename "$place"/wheels/fedvox-*.whl | cut -d- -f2)

echo "collecting what it depends on (some 500 MB)"
"$python" -m pip --disable-pip-version-check wheel --quiet \
  --constraint "$top/constraints.txt" --wheel-dir "$place/wheels" "$place"/wheels/fedvox-*.whl
# The target's own pip may be too old, or missing.
"$python" -m pip --disable-pip-version-check download --quiet --no-deps --dest "$place/wheels" \
  "pip==$("$python" -m pip --version | cut -d' ' -f2)"

if [ "${CUDA:-no}" != yes ] && ls "$place"/wheels/{nvidia_,cuda_,triton-}* >/dev/null 2>&1; then
  echo "bundle.sh: pip found a torch for NVIDIA cards (gigabytes, and of no use without one)." >&2
  echo "Point pip to PyTorch's index of processor builds, or say CUDA=yes to mean it." >&2
  exit 1
fi

name=fedvox-$version-$("$python" -c 'import platform, sys
print(f"py{sys.version_info[0]}{sys.version_info[1]}-{platform.machine()}")')
folder=$place/$name
mkdir "$folder"
mv "$place/wheels" "$folder/wheels"
cp "$top/constraints.txt" "$top/LICENSE" "$folder/"
cp -r "$top"/deploy/{systemd,proxy,docker,install.sh,fedvox-site,firewall.md,firewall.nft,runbook.md} "$folder/"
"$python" - >"$folder/BUNDLE" <<PY
import platform, sys
print("version=$version")
print(f"python={sys.version_info[0]}.{sys.version_info[1]}")
print(f"machine={platform.machine()}")
print("commit=$(git -C "$top" rev-parse HEAD)")
PY
find "$folder" -type f -exec chmod a+r,go-w {} +
"$top/deploy/sign.sh" "$folder" "$key"
tar --create --file "$place/$name.tar" --directory "$place" --sort=name --owner=0 --group=0 \
  --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" "$name"
mv "$place/$name.tar" "$out/$name.tar"
echo "$out/$name.tar: $(du -m "$out/$name.tar" | cut -f1) MB, $(find "$folder/wheels" -name '*.whl' | wc -l) wheels"
