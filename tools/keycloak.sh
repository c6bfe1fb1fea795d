#!/bin/sh
# keycloak.sh: Keycloak for the tests, unpacked and built once into build/keycloak-VERSION; Java and Maven by apt
# where they are missing. What can't be had is said in one line; the tests that need it then fail with a line of
# their own.
set -eu
version=26.3.0
sum=2fa6331fe85c69e4aba3f8360342605b37f2f5d05f8a5d53042f9684474b6d92
home=$PWD/build/keycloak-$version
[ ! -e "$home/.built" ] || exit 0

give_up() { echo "the tests against Keycloak will fail: $1" >&2; exit 0; }
need() { # need COMMAND PACKAGE…: the first of them that there is
    command=$1
    shift
    for package in "$@"; do
        command -v "$command" >/dev/null && return
        why=$(tools/apt.sh "$package" 2>&1) || true
    done
    command -v "$command" >/dev/null || give_up "$why"
}
fetch() { # the archive, into build/maven: a repository of its own where the machine's has none
    mvn --batch-mode --quiet org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy \
        -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory="$1" </dev/null >&2
}

need java openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless
need mvn maven
work=$(mktemp -d "$PWD/build/keycloak.XXXXXX" 2>/dev/null) || { mkdir -p build && work=$(mktemp -d "$PWD/build/keycloak.XXXXXX"); }
trap 'rm -rf "$work"' EXIT
echo "fetching Keycloak $version" >&2
fetch "$work" || fetch "$work" || give_up "Maven can't fetch it"
archive=$work/keycloak-quarkus-dist-$version.zip
echo "$sum  $archive" | sha256sum --check --quiet - >&2 || give_up "$archive is not what it should be"
.venv/bin/python -m zipfile -e "$archive" "$work"
JAVA_OPTS_KC_HEAP="-Xms64m -Xmx512m" bash "$work/keycloak-$version/bin/kc.sh" build --db=dev-mem >"$work/log" 2>&1 </dev/null || {
    tail -n 5 "$work/log" >&2
    give_up "kc.sh build failed"
}
rm -rf "$home"
mv "$work/keycloak-$version" "$home"
touch "$home/.built"
