#!/bin/sh
# servers.sh [COMMAND…]: the servers and the browser the tests run against, by apt where they are missing.
# Without root they are unpacked into build/debian, and started from build/servers.
# What can't be had is said in one line; the tests that need it then fail with a line of their own.
set -eu
unpacked=$PWD/build/debian
starters=$PWD/build/servers
PATH=$PATH:/usr/sbin:$starters
[ $# -gt 0 ] || set -- git nginx caddy haproxy varnish chromium postgresql redis-server faketime prometheus pebble bind9 nghttp2-client slowhttptest libnss3-tools libnginx-mod-stream php-cli php-xml simplesamlphp

starter() { # starter NAME PROGRAM: a command that finds the unpacked libraries and fonts
    libraries=$(find "$unpacked/usr/lib" "$unpacked/lib" -name '*.so*' -printf '%h\n' 2>/dev/null | sort -u | tr '\n' ':')
    mkdir -p "$starters"
    printf '#!/bin/sh\nexport LD_LIBRARY_PATH="%s" FONTCONFIG_SYSROOT="%s"\nexec "%s" "$@"\n' \
        "$libraries" "$unpacked" "$unpacked$2" >"$starters/$1"
    chmod +x "$starters/$1"
}

is_here() { # is_here PACKAGE: Debian keeps PostgreSQL's own programs off the PATH
    case $1 in
        varnish) command -v varnishd ;;
        postgresql) command -v initdb || ls /usr/lib/postgresql/*/bin/initdb ;;
        bind9) command -v named ;;
        nghttp2-client) command -v h2load ;;
        libnss3-tools) command -v certutil ;;
        libnginx-mod-stream) ls /usr/lib/nginx/modules/ngx_stream_module.so || ls "$unpacked/usr/lib/nginx/modules/ngx_stream_module.so" ;;
        php-cli) command -v php ;;
        php-xml) ls /usr/lib/php/*/dom.so || ls "$unpacked"/usr/lib/php/*/dom.so ;;
        simplesamlphp) ls /usr/share/simplesamlphp/www || ls "$unpacked/usr/share/simplesamlphp/www" ;;
        prometheus) command -v promtool || ls "$unpacked/usr/bin/promtool" ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

for command in "$@"; do # each is named as its Debian package
    is_here "$command" && continue
    why=$(tools/apt.sh "$command" 2>&1) && continue
    echo "unpacking $command into build/debian, without root" >&2
    if tools/undeb.sh "$unpacked" "$command"; then
        case $command in
            chromium) starter chromium /usr/lib/chromium/chromium ;;
            postgresql)
                for program in "$unpacked"/usr/lib/postgresql/*/bin/*; do
                    starter "${program##*/}" "${program#"$unpacked"}"
                done
                ;;
            caddy | pebble | slowhttptest) starter "$command" "/usr/bin/$command" ;;
            nghttp2-client) starter h2load /usr/bin/h2load ;;
            libnss3-tools) starter certutil /usr/bin/certutil ;;
            bind9) starter named /usr/sbin/named ;;
            varnish) starter varnishd /usr/sbin/varnishd ;;
            faketime) starter faketime /usr/bin/faketime ;;
            php-cli)
                for program in "$unpacked"/usr/bin/php[0-9]*; do # named by its version
                    starter php "${program#"$unpacked"}"
                done
                ;;
            libnginx-mod-stream | php-xml | simplesamlphp) ;; # modules and scripts, which tests load from where they are
            prometheus) ;; # its programs need nothing of what is unpacked: tests call them where they are
            redis-server) starter redis-server /usr/bin/redis-server ;;
            *) starter "$command" "/usr/sbin/$command" ;;
        esac
    else
        echo "$why" >&2
        echo "the tests that need $command will fail" >&2
    fi
done
