
# After a package's files are there. Debian says "configure" and the like, RPM how many versions there are now.
when=again
case ${1:-} in
configure)
	deb=yes
	if [ -e /run/postroad.installing ]; then when=first; fi
	rm -f /run/postroad.installing
	;;
abort-remove) deb=yes when=first ;; # it was stopped for nothing
abort-*) exit 0 ;;
1) when=first ;;
esac

# RPM renames an edited file when it removes a package; the peers in it were protected and are to be again.
if [ $when = first ] && [ -z "$deb" ] && [ -e $etc/postroad.toml.rpmsave ]; then
	mv -f $etc/postroad.toml.rpmsave $etc/postroad.toml
	say "$etc/postroad.toml is the one of the package that was removed"
fi
provide
make_key /usr/sbin/postroad || {
	say "making the private key $key failed"
	exit 1
}
start_at_boot $when
start $when
leave_link
if [ $when = first ]; then
	say "next, on both hosts: open UDP port 51825 (postroad doctor says how); postroad card, and send it to the other operator;"
	say "postroad peer add --apply, and paste the card that you get; postroad status"
fi
