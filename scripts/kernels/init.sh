#!/bin/busybox sh
# The first process of a machine of scripts/kernels.sh: puts this system's files in place, read-only
# with a layer in memory over them, and goes on with scripts/kernels/inside.sh.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r m; do $b insmod "/modules/$m"; done </modules/order
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host || exec $b poweroff -f
$b mount -t tmpfs -o size=2g rw /rw
$b mkdir /rw/upper /rw/work
$b mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work root /newroot || exec $b poweroff -f
for d in proc sys dev; do $b mount --move /$d /newroot/$d; done
$b ln -s /proc/self/fd /newroot/dev/fd
$b mkdir -p /newroot/dev/pts /newroot/dev/shm
$b mount -t devpts pts /newroot/dev/pts
$b mount -t tmpfs shm /newroot/dev/shm
$b mount -t tmpfs run /newroot/run
$b mount -t cgroup2 cgroup /newroot/sys/fs/cgroup
$b mkdir /newroot/run/share
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 share /newroot/run/share
for word in $($b cat /newroot/proc/cmdline); do
    case $word in sluice=*) tree=${word#sluice=} ;; esac
done
exec $b switch_root /newroot /bin/bash "$tree/scripts/kernels/inside.sh"
