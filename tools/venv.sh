#!/bin/sh
# venv.sh LOCK: .venv with what LOCK names, by hash, and vestibule itself as an editable install.
set -eu
lock=$1
venv=.venv

make_venv() {
    python=$(tools/python.sh)
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "making $venv with $python ($version)" >&2
    rm -rf "$venv"
    if "$python" -c 'import ensurepip' 2>/dev/null || why=$(tools/apt.sh "python$version-venv" 2>&1); then
        "$python" -m venv "$venv"
    else
        "$python" -m venv --without-pip "$venv"
        borrow_pip || { rm -rf "$venv"; echo "$why" >&2; exit 1; }
    fi
}

borrow_pip() { # Debian's Python has no ensurepip: another pip can install into .venv, and so can the wheel in a .deb
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m pip --python "$venv/bin/python" --quiet --disable-pip-version-check install pip
        return
    fi
    tools/undeb.sh "$venv/pip-wheel" python3-pip-whl || return
    wheel=$(echo "$venv"/pip-wheel/usr/share/python-wheels/pip-*.whl)
    "$venv/bin/python" "$wheel/pip" --quiet --disable-pip-version-check install --no-index "$wheel"
}

"$venv/bin/python" -m pip --version >/dev/null 2>&1 || make_venv
pip="$venv/bin/python -m pip --disable-pip-version-check --quiet --no-input"
echo "installing $(grep -c == "$lock") packages from $lock" >&2
$pip install --require-hashes -r "$lock"
$pip install --no-deps --no-build-isolation --editable .
