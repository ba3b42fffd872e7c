#!/usr/bin/env bash
# Signs a bundle's folder: SHA256SUMS over all files in it, and a signature over SHA256SUMS.
# Usage: deploy/sign.sh FOLDER KEY    KEY: a private key of P-384 (PEM); made where there is none
set -euo pipefail
export LC_ALL=C
[ $# -eq 2 ] || { sed -n '2,3p' "$0" >&2; exit 2; }
folder=$1 key=$2

if [ ! -e "$key" ]; then
  (
    umask 077
    mkdir -p "$(dirname "$key")"
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp384r1 -out "$key" 2>/dev/null
  )
  echo "made a new release key: $key. Keep it: who installs compares its fingerprint" >&2
fi
if [ -n "$(find -L "$key" -perm /077)" ]; then
  echo "sign.sh: $key: others can read this key; run chmod 600 $key, and make a new one if they may have" >&2
  exit 2
fi
if ! openssl pkey -in "$key" -noout -text 2>/dev/null | grep -q secp384r1; then
  echo "sign.sh: $key: no private key of P-384 in PEM that can be read" >&2
  exit 2
fi

openssl pkey -in "$key" -pubout -out "$folder/release.pem"
chmod 644 "$folder/release.pem"
cd "$folder"
rm -f SHA256SUMS SHA256SUMS.sig
find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum >../SHA256SUMS.$$
mv ../SHA256SUMS.$$ SHA256SUMS
cd - >/dev/null
openssl dgst -sha384 -sign "$key" -out "$folder/SHA256SUMS.sig" "$folder/SHA256SUMS"
echo "fingerprint: $(openssl pkey -pubin -in "$folder/release.pem" -outform DER | sha256sum | cut -c1-64 | fold -w4 | paste -sd' ')"
