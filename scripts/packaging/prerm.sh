
# Before a package's files go: Debian says "remove", RPM that no version is left. At an upgrade, all stays as it is.
case ${1:-} in
remove) deb=yes ;;
0) ;;
*) exit 0 ;;
esac

stop /usr/sbin/postroad
disable
