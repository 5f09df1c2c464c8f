#!/usr/bin/env bash
# Build docker/Dockerfile and run the image, without a Docker engine: Debian as root, buildah, debootstrap.
#
#   apt-get install -y buildah debootstrap && make docker-check
#
# The base image is made from the mirror that apt uses here, and pip inside the build gets this machine's settings, so
# nothing of a machine's set-up is written into the Dockerfile. Checked: the build; that the service refuses a public
# address without keys; that as non-root user, on a read-only root file system, /readyz answers 200 and the image's
# health check passes; that SIGTERM ends it.
#
# CHECK_PORT       port on loopback (default 18321)
# CHECK_READINESS  0 accepts an image whose /readyz never turns 200, for a tree without weights (default 1)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

port=${CHECK_PORT:-18321}
base=localhost/rpt-base:bookworm
image=localhost/rpt-service
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
work=$(mktemp -d)
server=
container=

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

clean_up() {
    if [[ -n $server ]]; then kill -KILL "$server" 2>/dev/null || true; fi
    if [[ -n $container ]]; then buildah rm "$container" >/dev/null 2>&1 || true; fi
    rm -rf "$work"
}
trap clean_up EXIT

make_base() {
    buildah inspect --type image "$base" >/dev/null 2>&1 && return
    say "base image from this machine's Debian mirror"
    local mirror scratch
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Release: bookworm' | head -n 1)
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
        bookworm "$work/root" "$mirror" >"$work/debootstrap.log" || { tail "$work/debootstrap.log" >&2; exit 1; }
    scratch=$(buildah from scratch)
    buildah add --quiet "$scratch" "$work/root" / >/dev/null
    buildah commit --quiet "$scratch" "$base" >/dev/null
    buildah rm "$scratch" >/dev/null
    rm -rf "$work/root"
}

# This machine's pip settings as one file, and the local folders they name as read-only mounts.
pip_mounts() {
    python3 -m pip config list | python3 -c '
import ast, re, sys
from pathlib import Path

settings = {}
for line in sys.stdin:
    name, _, value = line.rstrip().partition("=")
    # Variables are printed first and win over files.
    settings.setdefault(name.rpartition(".")[2], ast.literal_eval(value))
conf, options = Path(sys.argv[1]), {"/etc/ssl/certs"}
conf.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
for name in ("find-links", "extra-index-url", "index-url", "cert"):
    for place in settings.get(name, "").split():
        path = Path(re.sub("^file://", "", place))
        if path.exists():
            # An index of links beside its files: mount both.
            options.add(str(path.parent if path.name == "simple" or path.is_file() else path))
print(*(f"--volume={option}:{option}:ro" for option in sorted(options)), f"--volume={conf}:/etc/pip.conf:ro")
' "$work/pip.conf"
}

build() {
    say "building the image"
    local mounts
    read -r -a mounts <<<"$(pip_mounts)"
    # Only the Docker format keeps HEALTHCHECK.
    buildah bud --quiet --format docker --network host --build-arg BASE_IMAGE="$base" \
        --build-arg TORCH_INDEX="${TORCH_INDEX:-}" "${mounts[@]}" --file docker/Dockerfile --tag "$image" . >/dev/null
}

setting() { buildah inspect --type image --format "{{$1}}" "$image"; }

# Run a command in the image as its user, on a read-only root with an empty /tmp, like docker/compose.yaml.
# usage: in_image VARIABLES... -- COMMAND...
in_image() {
    local variables=()
    while [[ $1 != -- ]]; do variables+=("$1"); shift; done
    shift
    exec unshare --mount bash -c '
        set -e
        root=$1; user=$2; shift 2
        mount --bind "$root" "$root"
        mount --rbind /dev "$root/dev"
        mount --rbind /proc "$root/proc"
        mount -t tmpfs -o size=256m,mode=1777 tmpfs "$root/tmp"
        mount -o remount,bind,ro "$root"
        exec chroot --userspec="$user" "$root" /usr/bin/env --ignore-environment --chdir=/tmp "$@"
    ' bash "$root" "$user" "${image_environment[@]}" "${variables[@]}" "$@"
}

status() { curl --silent --output /dev/null --max-time 5 --write-out '%{http_code}' "http://127.0.0.1:$port$1" || true; }

wait_for() {
    local path=$1 seconds=$2
    for ((second = 0; second < seconds; second++)); do
        [[ $(status "$path") == 200 ]] && return 0
        kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; fail "the service ended"; }
        sleep 1
    done
    tail -n 20 "$work/server.log" >&2
    return 1
}

make_base
build
container=$(buildah from "$image")
root=$(buildah mount "$container")
user=$(setting .Docker.Config.User)
mapfile -t image_environment < <(setting 'range .Docker.Config.Env}}{{println .}}{{end' | sed '/^$/d')
say "image: user $user, $(du -sh "$root" | cut -f1), health check $(setting .Docker.Config.Healthcheck.Test | cut -c1-40)…"
[[ ${user%%:*} =~ ^[1-9][0-9]*$ ]] || fail "the image runs as root"

say "a public address without keys is refused"
if (in_image RPT_PORT="$port" -- rpt serve) >"$work/refused.log" 2>&1; then fail "it was served without keys"; fi
tail -n 1 "$work/refused.log"
grep -qi key "$work/refused.log" || fail "the message does not speak of keys"

say "nothing but /tmp can be written"
if (in_image -- touch /opt/rpt/x /x) 2>/dev/null; then fail "the root file system is writable"; fi
(in_image -- touch /tmp/x)

say "serving on port $port"
(in_image RPT_PORT="$port" RPT_API_KEYS="${CHECK_API_KEYS:-a-key-for-this-check-only}" -- rpt serve) >"$work/server.log" 2>&1 &
server=$!
wait_for /livez 60 || fail "/livez did not answer 200 within 60 s"
echo "/livez 200; processes run as $(ps -o uid= -p "$server" | tr -d ' ')"
[[ $(ps -o uid= -p "$server" | tr -d ' ') == "${user%%:*}" ]] || fail "the service does not run as $user"

if [[ ${CHECK_READINESS:-1} == 1 ]]; then
    wait_for /readyz 120 || fail "/readyz did not turn 200 within 120 s"
    mapfile -t health < <(setting 'range .Docker.Config.Healthcheck.Test}}{{println .}}{{end' | sed '/^$/d;1d')
    (in_image RPT_PORT="$port" -- "${health[@]}") || fail "the health check of the image fails"
    echo "/readyz 200; health check passes"
else
    echo "/readyz $(status /readyz) (not required)"
fi

kill -TERM "$server"
wait "$server" && code=0 || code=$?
server=
# uvicorn drains, then raises the signal again for its parent to see: 143. As first process of a container it gets 0.
[[ $code == 0 || $code == 143 ]] || fail "SIGTERM ended the service with status $code"
echo "SIGTERM ended it with status $code"
say "all checks passed"
