#!/bin/sh
# undeb.sh DIRECTORY PACKAGE…: unpacks Debian packages, with what they need and this machine lacks, into DIRECTORY.
# Needs no root and changes nothing outside; fails without a word where apt knows no packages.
set -eu
directory=$1
shift
mkdir -p "$directory/debs"
cd "$directory/debs"
# shellcheck disable=SC2046  # a list of names
apt-get -qq download $(apt-get -s --no-install-recommends install "$@" 2>/dev/null | sed -n 's/^Inst \([^ ]*\).*/\1/p') >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" ..; done
rm -rf ../debs
