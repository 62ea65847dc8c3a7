
# Before a package's files are there. Two installations would have one service, and keys, between them.
if [ -e /usr/local/sbin/postroad ]; then
	echo "postroad: /usr/local has one already, of scripts/install; to change to the package, stop the mail server, run" >&2
	echo "postroad: scripts/install --uninstall, which keeps keys and peers file, and install the package again" >&2
	exit 1
fi
# Only Debian's later scripts cannot tell a new installation from an upgrade.
case ${1:-} in
install) : >/run/postroad.installing ;;
esac
