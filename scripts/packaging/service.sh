# shellcheck shell=sh
# What has to be done on a host besides laying out files: user, folders, key, service. scripts/install reads this file, and
# the packages' scripts begin with it; so it is plain sh, and takes into account hosts without systemd: containers, image
# builds. Nothing in it ends the program, but a key that cannot be made.

deb= # not empty: we are a Debian package's script, and use what Debian has for those
etc=/etc/postroad
key=$etc/private.key

say() { echo "postroad: $*"; }

# booted tells whether systemd runs this host: else there is nobody to start anything.
booted() { [ -d /run/systemd/system ]; }

has() { command -v "$1" >/dev/null 2>&1; }

# invoke has systemctl do something to the service; a package does not, if the administrator's policy-rc.d is against it.
invoke() {
	if [ -n "$deb" ] && has deb-systemd-invoke; then
		deb-systemd-invoke "$1" postroad.service >/dev/null
	else
		systemctl --quiet "$1" postroad.service
	fi
}

# provide makes user and folders. Without systemd, the daemon is run by root, who needs neither.
provide() {
	if has systemd-sysusers; then
		systemd-sysusers postroad.conf || say "making the user postroad failed"
	fi
	if has systemd-tmpfiles && booted; then
		systemd-tmpfiles --create postroad.conf || say "making /run/wireguard failed"
	fi
}

# make_key makes the private key with the program given, unless there is something of that name: whatever it is, another
# identity over it would be worse. It is written beside and linked into place: no half of a key ever has the name.
make_key() {
	if [ -e "$key" ] || [ -L "$key" ]; then return 0; fi
	half=$(umask 077 && mktemp "$etc/.private.key.XXXXXX") || return 1
	if "$1" genkey >"$half" && [ -s "$half" ] && sync "$half" && ln -T "$half" "$key"; then
		rm -f "$half"
		say "made this host's private key, $key"
		return 0
	fi
	rm -f "$half"
	[ -e "$key" ] # somebody else was faster
}

# start_at_boot enables the service, at first; later, what the administrator chose stays.
start_at_boot() {
	if [ -n "$deb" ] && has deb-systemd-helper; then # it remembers what the administrator chose, beyond a removal too
		deb-systemd-helper unmask postroad.service >/dev/null || true
		if deb-systemd-helper --quiet was-enabled postroad.service; then
			deb-systemd-helper enable postroad.service >/dev/null || true
		else
			deb-systemd-helper update-state postroad.service >/dev/null || true
		fi
	elif [ "$1" = first ] && has systemctl; then
		systemctl --quiet enable postroad.service || true
	fi
}

# start begins with the service at first, and later restarts it unless the administrator stopped it. The protection stays
# in the kernel meanwhile. A service that cannot start is no reason to leave a package half installed.
start() {
	booted || return 0
	systemctl daemon-reload || true
	case $1-$(systemctl is-active postroad.service 2>/dev/null || true) in
	first-*) invoke start ;;
	*-inactive) ;;
	*) invoke restart ;;
	esac || say "the service did not start; this tells why: systemctl status postroad"
}

# leave_link tells a running NetworkManager, which reads its settings when it starts, to leave the link alone.
leave_link() {
	if booted && has nmcli && systemctl --quiet is-active NetworkManager.service 2>/dev/null; then
		nmcli general reload conf >/dev/null 2>&1 || true
	fi
}

# stop ends the daemon, and then takes the protection away with the program given: in this order it does not matter how the
# daemon fares.
stop() {
	if booted; then
		invoke stop 2>/dev/null || true
		systemctl --quiet reset-failed postroad.service 2>/dev/null || true
	fi
	if [ ! -x "$1" ]; then
		say "$1 is missing: what stands in the kernel stays until the next boot, and SMTP with peers waits"
		return 0
	fi
	"$1" down || say "taking the protection away failed: SMTP with peers may wait until the next boot"
}

# disable takes the service out of the boot. deb-systemd-helper does that when a Debian package is purged.
disable() {
	if [ -z "$deb" ] && has systemctl; then systemctl --quiet disable postroad.service 2>/dev/null || true; fi
}

# forget deletes what no package owns: keys, peers file and state.
forget() { rm -rf "$etc" /var/lib/postroad; }
