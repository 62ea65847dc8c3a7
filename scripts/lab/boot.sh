# shellcheck shell=sh
# init of a lab host; $0 is its name. Mounts are made private first, so that none of this is seen outside.
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sysfs /sys

# /etc: a copy, so that the machine's is neither changed nor trusted where it matters
mount -t tmpfs -o mode=755 tmpfs /run
cp -a /etc/. /run
mount --move /run /etc
for dir in /home /root /run /var; do mount -t tmpfs -o mode=755 tmpfs $dir; done

mkdir -p /run/bin /run/lock /run/postroad /run/wireguard
mkdir -p /var/cache /var/lib /var/log /var/mail /var/spool/postfix /var/tmp
chmod 700 /root
chmod 1777 /run/lock /var/tmp
chgrp mail /var/mail
chmod 2775 /var/mail
ln -s /run /var/run
ln -s /run/lock /var/lock
ln -s ../mail /var/spool/mail

echo "$0" >/proc/sys/kernel/hostname
echo "$0" >/etc/hostname
echo "$0" >/etc/mailname
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost\n' >/etc/hosts
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >/etc/resolv.conf
printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n' >/etc/nsswitch.conf
id=2001
for user in alice bob carol dave erin; do
	echo "$user:x:$id:8::/home/$user:/bin/sh" >>/etc/passwd
	mkdir -m 700 /home/$user
	chown $id:8 /home/$user
	id=$((id + 1))
done

# static addresses only, usable at once, and kept when a wire is cut
cd /proc/sys/net/ipv6/conf
for conf in all default; do
	echo 0 >$conf/accept_dad
	echo 0 >$conf/accept_ra
	echo 1 >$conf/keep_addr_on_down
done
cd /
ip link set lo up

# Live as long as stdin is open, and reap orphans meanwhile.
echo ready
exec 3<&0 >/dev/null
cat <&3 &
wait $!
