# Runs one scenario, named by $1, in the namespaces that init.sh has made for it, and tells its verdict by the exit
# status. A scenario is sourced here: it has the functions of lib.sh, a fresh /tmp and /run, and need not clean up.
set -Eeu
set -o pipefail

mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t sysfs sys /sys # of this network namespace
cd /tmp
dmesg -c >/dev/null

# What one wants to see after a failure.
describe_failure() {
	status=$?
	[ "$status" -ne 0 ] || return 0
	trap - ERR
	tail -n 5 -- *.err 2>/dev/null || true
	echo "--- exit status $status; what there is:"
	timeout 10 dmsetup ls --tree 2>&1 || true
	timeout 10 dmsetup status 2>&1 || true
	timeout 10 lvs -a -o +lv_tags 2>&1 || true
	ps -o pid,ppid,stat,args
	echo '--- the kernel log since it began:'
	dmesg | tail -n 40
	exit "$status"
}
trap 'echo "$BASH_SOURCE, line $LINENO: exit status $? of: $BASH_COMMAND"' ERR
trap describe_failure EXIT
trap 'exit 124' TERM # from timeout

. /lab/lib.sh
. "/lab/scenarios/$1.sh"
nothing_left
