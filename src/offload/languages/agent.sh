# The agent: process 1 of the container that scripts run in. It starts commands for Offload's runner, which sits
# in the container beside it. It is all that Offload brings into an image: this text, handed to the image's own
# shell (`sh -c TEXT agent DIRECTORY`). So it keeps to POSIX, and to what is built into shells.
#
# The two talk through named pipes in DIRECTORY/control, on a volume of both, one line a message:
#   orders    run N        start the command in control/N; answered by "began N", or "missing", "forbidden" (not
#                          executable) or "nowhere" (no such directory); in any case by "ended STATUS" at last
#             others       is there any process but this one? "some" or "none"
#             TERM, KILL   signal all of them
#             look         "seen PRIVATE SHARED KILLS CPU": bytes of memory without page cache, processes that were
#                          killed for want of it, nanoseconds; - is unknown
#             stop STATUS  end, and the container with it
#   signals   TERM N, KILL N, look, stop: the same while command N runs; USR1 N, USR2 N, INT N: warn it alone
#   answers   as above; also "ready", "term" when the cluster wants this container to end, and "again" for an
#             order that didn't arrive whole
# When the runner is gone, so are the agent and all that runs here.

offload_dir=${1:-/offload}/control
if [ $$ -ne 1 ]; then
    echo "offload: the agent must be process 1, because it signals every other one in its container." >&2
    exit 1
fi

say() {
    echo "$*" >&3
}

# pick FILE KEY: the number behind a key, or the first word of a file without keys.
pick() {
    offload_picked=-
    while read -r offload_key offload_number; do
        case $offload_key in
            "$2") offload_picked=$offload_number ;;
            *[!0-9]*) ;;
            *) offload_picked=$offload_key ;;
        esac
    done <"/sys/fs/cgroup/$1"
    [ "$offload_picked" != - ]
} 2>/dev/null

# The kernel counts for this container in control groups of version 2 or 1, unless they are hidden. Some shells
# count to two thousand millions only, so this doesn't.
look() {
    pick memory.stat anon || pick memory/memory.stat total_rss
    offload_seen=$offload_picked
    pick memory.stat shmem || pick memory/memory.stat total_shmem
    offload_seen="$offload_seen $offload_picked"
    pick memory.events oom_kill || pick memory/memory.oom_control oom_kill
    offload_seen="$offload_seen $offload_picked"
    if pick cpu.stat usage_usec; then offload_picked=${offload_picked}000; else pick cpuacct/cpuacct.usage; fi
    say "seen $offload_seen $offload_picked"
}

# The kernel spares process 1 and the one that calls this.
signal_all() {
    kill "-$1" -1 # the older form: busybox has no --
} 2>/dev/null

# Beside command N, which is process PID. An order for an earlier one may still be in the pipe.
attend() {
    trap '' TERM PIPE
    while read -r offload_order offload_number; do
        case $offload_order$offload_number in
            "TERM$1" | "KILL$1") signal_all "$offload_order" ;;
            "USR1$1" | "USR2$1" | "INT$1") kill "-$offload_order" "$2" ;;
            look) look ;;
            stop*) signal_all KILL ;;
        esac
    done
    signal_all KILL
}

# Say why command N, whose words these are, can't start.
refuse() {
    say "$1"
    exit "$2"
}

check() {
    cd -- "$offload_cwd" || refuse nowhere 126
    case $1 in
        */*) [ -e "$1" ] || refuse missing 127; [ -f "$1" ] && [ -x "$1" ] || refuse forbidden 126 ;;
        *) command -v -- "$1" >/dev/null || refuse missing 127 ;;
    esac
} 2>/dev/null

run() {
    (
        offload_number=$1
        . "$offload_dir/$1/command" # sets variables, offload_cwd and the words of the command
        check "$@"
        say began "$offload_number"
        trap - INT QUIT
        exec 3>&- 4<&- 5<&- >"$offload_dir/$offload_number/out" 2>"$offload_dir/$offload_number/err"
        exec <"$offload_stdin" $offload_reset "$@"
    ) &
    offload_pid=$!
    attend "$1" "$offload_pid" <&5 4<&- 5<&- &
    offload_helper=$!
    offload_told=
    wait "$offload_pid"
    offload_status=$?
    # A signal to the agent ends `wait` early, with more than 128; a second `wait` for what has ended gives 127.
    while [ "$offload_told" ]; do
        offload_told=
        wait "$offload_pid"
        offload_again=$?
        if [ $offload_again -ne 127 ] || [ $offload_status -gt 128 ]; then offload_status=$offload_again; fi
    done
    kill -KILL "$offload_helper"
    wait "$offload_helper"
    say ended "$offload_status"
} 2>/dev/null

# Orphans become children of process 1, and remain as zombies until it waits for anything.
others() {
    : &
    wait "$!"
    if signal_all 0; then say some; else say none; fi
}

# Shells let what they start in the background ignore SIGINT and SIGQUIT; dash can't undo it, env may.
offload_reset="$(command -v env) --default-signal=INT,QUIT"
$offload_reset true 2>/dev/null || offload_reset=

until [ -p "$offload_dir/answers" ]; do
    sleep 0.05 2>/dev/null || sleep 1 2>/dev/null || :
done
exec 3>"$offload_dir/answers" 4<"$offload_dir/orders" 5<"$offload_dir/signals"
trap 'offload_told=yes; say term' TERM INT QUIT # images choose what ends them
say ready
while
    offload_told=
    # A signal ends `read` early, and a part of a line may be lost then.
    read -r offload_order offload_number <&4 || { offload_order=interrupted && [ "$offload_told" ]; }
do
    case $offload_order in
        interrupted) ;;
        run) run "$offload_number" ;;
        others | look) "$offload_order" ;;
        TERM | KILL) signal_all "$offload_order" ;;
        stop) exit "$offload_number" ;;
        *) say again ;;
    esac
done
exit 1
