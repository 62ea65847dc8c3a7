package peers

import "fmt"

// Card returns what to send to the operator of another mail host: p's [[peer]],
// with comments that say what to do with it. [ParseCard] reads it.
func Card(p Peer) string {
	return fmt.Sprintf(`# The postroad card of %s, for the operator of another mail host.
#
# To have all mail between the two hosts encrypted, run this there, and
# paste this text:    postroad peer add --apply
# Send back your own: postroad card
# Then call each other, and compare what this prints, which is the same on
# both sides unless somebody has changed a card on its way:
#                     postroad fingerprint
# There are no secrets on a card.

%s# End of the card.
`, p.Name, p.Block())
}
