#!/bin/sh
# apt.sh PACKAGE…: installs Debian packages, as root or through a sudo that asks nothing; no service is started by it.
# When it can't: one line saying what to do, exit 1.
set -eu
give_up() { echo "can't install $packages ($1): run  apt-get install $packages  as root, then the same command again" >&2; exit 1; }

packages=$*
as_root=
command -v apt-get >/dev/null || give_up "this machine has no apt-get"
if [ "$(id -u)" -ne 0 ]; then
    as_root="sudo -n"
    $as_root true 2>/dev/null || give_up "not root, and no sudo without a password"
fi

policy=/usr/sbin/policy-rc.d
log=$(mktemp)
trap 'rm -f "$log"; [ -z "${our_policy:-}" ] || $as_root rm -f "$policy"' EXIT
if [ ! -e "$policy" ]; then # Debian starts a service when its package is installed; 101 is "not now" (invoke-rc.d(8))
    our_policy=yes
    $as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
fi

install() { # shellcheck disable=SC2086  # several packages
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install --no-install-recommends $packages </dev/null >"$log" 2>&1
}

echo "installing by apt: $packages" >&2
install || { $as_root apt-get -qq update </dev/null >"$log" 2>&1 && install; } || { tail -n 5 "$log" >&2; give_up "apt-get failed"; }
for package in $packages; do # nor is one started at the next boot
    [ ! -e "/etc/init.d/$package" ] || $as_root update-rc.d "$package" disable >/dev/null 2>&1 || true
    [ ! -e "/lib/systemd/system/$package.service" ] ||
        $as_root env DPKG_MAINTSCRIPT_PACKAGE="$package" deb-systemd-helper disable "$package.service" >/dev/null 2>&1 || true
done
