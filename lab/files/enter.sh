#!/bin/sh
# Puts itself into the node's cgroups and becomes the program: enter.sh GROUP PROGRAM [ARGUMENTS]
group=$1
shift
for file in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
  target=${file%cgroup.procs}$group/cgroup.procs
  if [ -e "$target" ]; then echo 0 > "$target"; fi
done
exec "$@"
