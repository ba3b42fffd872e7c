#!/usr/bin/env bash
# Installs fedvox from the bundle that this script lies in. It needs no network and asks for none.
#
#   ./install.sh --role site|coordinator --fingerprint HEX [--root DIR] [--python PYTHON]
#
#   --role         what this machine is
#   --fingerprint  of the key that signed the bundle, as you were told it by telephone
#   --root         put everything below DIR, make no users, start nothing (to try it out)
#   --python       which Python to use (default: the python3 that the bundle was made for)
#
# It makes        /opt/fedvox/releases/VERSION  a Python environment; `current` points to it
#                 /var/lib/fedvox/              folders of the role, each for its own user, 0700
#                 /etc/systemd/system/          the units of the role, not started
# and the users fedvox-link and fedvox-trainer, or fedvox-coordinator. Done again, it upgrades.
set -euo pipefail
export LC_ALL=C
umask 022

die() {
  echo "install.sh: $*" >&2
  exit 1
}

usage() {
  sed -n '2,10p' "$bundle/install.sh" | cut -c3- >&2
  exit 2
}

bundle=$(cd "$(dirname "$0")" && pwd)
role='' fingerprint='' root='' python=''
while [ $# -gt 0 ]; do
  case $1 in
    --role) role=${2-} ;;
    --fingerprint) fingerprint=$(tr -d ' :\n' <<<"${2-}" | tr 'A-F' 'a-f') ;;
    --root) root=${2-} ;;
    --python) python=${2-} ;;
    *) usage ;;
  esac
  shift 2 || usage
done
case $role in site | coordinator) ;; *) usage ;; esac
[[ $fingerprint =~ ^[0-9a-f]{64}$ ]] || die "--fingerprint must be the 64 hexadecimal digits of the release key; ask who made the bundle, by telephone"

# 1. Is it what they made? Nothing of the bundle is used before this has passed.
check_bundle() {
  local found
  cd "$bundle"
  for file in release.pem SHA256SUMS SHA256SUMS.sig BUNDLE; do
    [ -f "$file" ] || die "$file is missing from the bundle; unpack it anew, or have it sent again. Nothing was installed"
  done
  found=$(openssl pkey -pubin -in release.pem -outform DER 2>/dev/null | sha256sum | cut -c1-64)
  [ "$found" = "$fingerprint" ] || die "the bundle was signed with another key ($found); do not use it. Nothing was installed"
  openssl dgst -sha384 -verify release.pem -signature SHA256SUMS.sig SHA256SUMS >/dev/null 2>&1 ||
    die "the signature of SHA256SUMS is wrong; do not use this bundle. Nothing was installed"
  sha256sum --check --strict --quiet SHA256SUMS >/dev/null 2>&1 ||
    die "these files are not as they were signed: $(sha256sum --check SHA256SUMS 2>/dev/null | grep -v ': OK$' | cut -d: -f1 | paste -sd' '). Nothing was installed"
  # pip would take a wheel that nobody signed, were it there.
  found=$(diff <(cut -c67- SHA256SUMS | sort) <(find . ! -type d ! -path ./SHA256SUMS ! -path ./SHA256SUMS.sig -printf '%P\n' | sort) | grep '^[<>]' | cut -c3- || true)
  [ -z "$found" ] || die "files that nobody signed: $(paste -sd' ' <<<"$found"). Nothing was installed"
  echo "bundle: signature and $(wc -l <SHA256SUMS) checksums are right"
}

told() { sed -n "s/^$1=//p" "$bundle/BUNDLE"; }

# 2. Does it fit this machine?
check_machine() {
  [ "$(uname -m)" = "$(told machine)" ] || die "the bundle is for $(told machine), this machine is $(uname -m)"
  [ -n "$python" ] || python=$(command -v "python$(told python)" || command -v python3) || die "no python3; install Python $(told python)"
  [ "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = "$(told python)" ] ||
    die "$python is not Python $(told python), for which the bundle was made; name one with --python"
  "$python" -c 'import venv' 2>/dev/null || die "$python lacks the module venv; on Debian install python$(told python)-venv"
  if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
    die "run as root; or with --root DIR, to try it out below a folder of your own"
  fi
}

# 3. Users and folders.
service_users() { if [ "$role" = site ]; then echo fedvox-link fedvox-trainer; else echo fedvox-coordinator; fi; }

make_users() {
  if [ -n "$root" ] || [ "$(id -u)" != 0 ]; then
    echo "users: none are made with --root; everything belongs to $(id -un)"
    return
  fi
  getent group fedvox >/dev/null || groupadd --system fedvox
  for user in $(service_users); do
    getent passwd "$user" >/dev/null ||
      useradd --system --gid fedvox --no-create-home --home-dir "$state/${user#fedvox-}" --shell /usr/sbin/nologin "$user"
  done
}

own() { # FOLDER USER MODE
  mkdir -p "$1"
  if [ -z "$root" ]; then chown -h "$2:fedvox" "$1"; fi
  chmod "$3" "$1"
}

make_folders() {
  mkdir -p "$state"
  chmod 755 "$state"
  if [ "$role" = coordinator ]; then
    own "$state/coordinator" fedvox-coordinator 0700
    return
  fi
  own "$state/link" fedvox-link 0700
  own "$state/trainer" fedvox-trainer 0700
  # The one place where the two meet: the trainer makes its socket here, the link may enter.
  own "$state/run" fedvox-trainer 0750
  for home in link trainer; do
    [ -L "$state/$home/run" ] || ln -s ../run "$state/$home/run"
  done
}

# 4. The environment, and `current` pointing to it.
make_environment() {
  local pip complete=$release/share/fedvox/complete
  if [ -f "$complete" ] && cmp -s "$complete" "$bundle/SHA256SUMS"; then
    echo "release $version: is installed already"
    return
  fi
  [ ! -e "$complete" ] || die "$release holds another build of release $version; stop fedvox, move it away, and run this again"
  rm -rf "$release" # what an installation that was interrupted has left
  "$python" -m venv --without-pip "$release"
  pip=$(echo "$bundle"/wheels/pip-*.whl)
  # Neither a variable nor a file of this machine may lead pip to anything but the bundle.
  env -i PATH="$PATH" HOME="$release" PIP_CONFIG_FILE=/dev/null \
    "$release/bin/python" "$pip/pip" --disable-pip-version-check --no-cache-dir install --quiet \
    --no-index --find-links "$bundle/wheels" --only-binary :all: \
    --constraint "$bundle/constraints.txt" "fedvox==$version"
  [ "$(env -i PATH="$PATH" "$release/bin/fedvox" --version)" = "fedvox $version" ] || die "what was installed in $release does not start"
  mkdir -p "$release/share/fedvox"
  cp -r "$bundle"/{runbook.md,firewall.md,firewall.nft,proxy,docker,systemd,LICENSE,BUNDLE} "$release/share/fedvox/"
  install -m 0755 "$bundle/fedvox-site" "$release/bin/fedvox-site"
  cp "$bundle/SHA256SUMS" "$complete"
  echo "release $version: installed"
}

switch() {
  ln -sfn "releases/$version" "$root/opt/fedvox/.current"
  mv -T "$root/opt/fedvox/.current" "$root/opt/fedvox/current"
}

# 5. Units, and what to do next.
role_units() {
  service_users | tr ' ' '\n' | sed 's/$/.service/'
  if [ "$role" = site ]; then echo fedvox-monitor.service fedvox-listen.service; fi
}

put_units() {
  local units=$root/etc/systemd/system unit
  mkdir -p "$units"
  for unit in fedvox.target $(role_units); do
    install -m 0644 "$bundle/systemd/$unit" "$units/$unit"
  done
  [ -n "$root" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload
}

say_next() {
  local bin=$root/opt/fedvox/current/bin
  echo "next:"
  if [ "$role" = coordinator ]; then
    echo "  runuser -u fedvox-coordinator -- $bin/fedvox consortium init $state/coordinator --name NAME --address HOST:8443"
    echo "  systemctl enable --now fedvox.target fedvox-coordinator"
    echo "  runuser -u fedvox-coordinator -- $bin/fedvox consortium invite SITE --home $state/coordinator --out $state/coordinator/SITE.kit"
  else
    echo "  $bin/fedvox-site join SITE.kit --data dataset:NAME"
    echo "  $bin/fedvox-site check"
    echo "  systemctl enable --now fedvox.target fedvox-trainer fedvox-link fedvox-monitor"
  fi
}

check_bundle
check_machine
version=$(told version)
state=$root/var/lib/fedvox
release=$root/opt/fedvox/releases/$version
make_users
make_folders
make_environment
switch
put_units
say_next
