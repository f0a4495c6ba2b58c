# Sourced: a Docker engine for a test. One that runs already is used as it is; else Debian's is
# started with everything it keeps below a temporary folder.
#
# An engine of ours leaves the machine's network alone: no firewall rules, no forwarding, and its
# bridge is removed with it. Containers reach each other over the networks that compose makes, this
# host reaches their published ports through docker-proxy, and nothing in them reaches further,
# which the stand-ins of scripts/base-images.sh do not need.

engine_folder=
engine_pid=
engine_bridge=

# Puts a client first in PATH that can build with BuildKit: a client from 23 on needs a plugin for it.
engine_client() {
    local client tools=$1
    for client in "$(command -v docker || true)" /usr/bin/docker; do
        [ -x "$client" ] || continue
        if [[ $("$client" --version) =~ version\ (1[0-9]|20)\. ]] || "$client" buildx version >/dev/null 2>&1; then
            ln -sf "$client" "$tools/docker"
            PATH=$tools:$PATH
            return
        fi
    done
    return 1
}

engine_answers() { docker info >/dev/null 2>&1; }

# Starts one below a folder; its log is there.
engine_start() { # folder
    local dockerd
    dockerd=$(command -v dockerd || echo /usr/sbin/dockerd)
    if [ "$(id -u)" != 0 ] || [ ! -x "$dockerd" ]; then
        return 1
    fi
    engine_folder=$1/engine
    mkdir -p "$engine_folder"
    [ -e /sys/class/net/docker0 ] || engine_bridge=docker0
    export DOCKER_HOST=unix://$engine_folder/docker.sock
    "$dockerd" --data-root "$engine_folder/data" --exec-root "$engine_folder/exec" \
        --pidfile "$engine_folder/pid" -H "$DOCKER_HOST" \
        --iptables=false --ip-forward=false --ip-masq=false \
        >"$engine_folder/log" 2>&1 </dev/null &
    engine_pid=$!
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        if engine_answers; then
            return
        fi
        kill -0 "$engine_pid" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# Ends the one that was started here, and removes what it kept.
engine_stop() {
    [ -n "$engine_pid" ] || return 0
    kill "$engine_pid" 2>/dev/null || true
    wait "$engine_pid" 2>/dev/null || true
    # It leaves mounts of its own when it was interrupted.
    local mount
    for mount in $(awk -v under="$engine_folder/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r); do
        umount "$mount" 2>/dev/null || true
    done
    if [ -n "$engine_bridge" ]; then
        ip link delete "$engine_bridge" 2>/dev/null || true
    fi
    rm -rf "$engine_folder"
    engine_pid=
}
