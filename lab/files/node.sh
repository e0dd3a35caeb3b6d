#!/bin/bash
# The first process of the node. It has its own mount, network, PID, UTS and IPC namespaces, prepares them and waits:
# with its end, which is the end of its input, everything in the node ends.
#
#   node.sh FOLDER NAME ADDRESS SERVICE-RANGE
set -e
folder=$1 name=$2 address=$3 services=$4
hostname "$name"
# The kubelet wants a shared root; the machine's own mounts are cut off already.
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /run/containerd /run/cgroup
# A new network namespace needs a new sysfs, which would hide the cgroups.
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
while read -r place; do
  mkdir -p "$folder/root$place" "$place"
  mount --bind "$folder/root$place" "$place"
done <<PLACES
/etc/cni/net.d
/etc/kubernetes
/var/lib/cni
/var/lib/containerd
/var/lib/kubelet
/var/log/containers
/var/log/pods
PLACES
# No name look-up leaves the node.
mount --bind /etc/kubernetes/resolv.conf "$(readlink -f /etc/resolv.conf)"
echo namespaces
# The other end of the machine's bridge.
read -r _
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up
# A process on the node's network that calls a Service is routed before kube-proxy's rules see it.
ip route add "$services" dev eth0
# Nothing leaves the machine.
ip route add unreachable default
sysctl -qw net.ipv4.ip_forward=1
sysctl -qw net.bridge.bridge-nf-call-iptables=1 || echo "no br_netfilter: Services cannot be reached from pods of the same node" >&2
echo network
# Bash collects the orphans that end meanwhile.
read -r _ || true
