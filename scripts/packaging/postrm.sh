
# After a package's files went. Only Debian can purge.
case ${1:-} in
purge)
	if [ -e /usr/local/sbin/postroad ]; then
		say "kept $etc and /var/lib/postroad: the postroad that scripts/install put into /usr/local uses them"
	else
		forget
	fi
	if has deb-systemd-helper; then deb-systemd-helper purge postroad.service >/dev/null || true; fi
	;;
remove | 0) ;;
*) exit 0 ;;
esac

if booted; then systemctl daemon-reload || true; fi
rmdir /run/wireguard 2>/dev/null || true # tmpfiles.d made it; others' sockets keep it
