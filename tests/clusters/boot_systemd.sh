#!/bin/sh
# Be systemd on the files of this machine, of which a copy is changed that nothing is kept of; to be run
# in namespaces of its own. $1 is an empty directory. The others, a Python, its packages and the project,
# are found below /opt there, where the account of a service may look.
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mkdir -p opt/python opt/packages opt/project
mount --bind -o ro "$2" opt/python
mount --bind -o ro "$3" opt/packages
mount --bind -o ro "$4" opt/project
# A Python with a library of its own has it by the path where it was built.
echo /opt/python/lib >etc/ld.so.conf.d/000-python.conf
chroot . /sbin/ldconfig

# Nothing of the real machine is to be reached: its devices, its kernel, its temporary files.
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
rm -rf srv/lab var/log/journal etc/systemd/system usr/lib/systemd/system/*.wants
mkdir -p srv etc/systemd/system
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=1777 tmpfs var/tmp
echo 0123456789abcdef0123456789abcdef >etc/machine-id

# No unit of the machine is started.
for target in sysinit basic shutdown multi-user network-online; do
    printf '[Unit]\nDescription=As good as reached\nDefaultDependencies=no\n' >"etc/systemd/system/$target.target"
done
cat >etc/systemd/system/boot.target <<'UNIT'
[Unit]
Description=The machine of the test
DefaultDependencies=no
Requires=systemd-journald.socket
After=systemd-journald.socket
UNIT
mkdir old
pivot_root . old
umount -l /old
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec env -i "PATH=$PATH" container=other \
    /lib/systemd/systemd --system --unit=boot.target --log-target=console --show-status=false
