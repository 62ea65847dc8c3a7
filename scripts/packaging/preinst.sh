
# Before a package's files are there. Only Debian's later scripts cannot tell a new installation from an upgrade.
case ${1:-} in
install) : >/run/postroad.installing ;;
esac
