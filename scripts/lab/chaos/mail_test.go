package main

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// What is lost, altered or delivered twice is seen, and told apart.
func TestInbox(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	begin := &stream{name: "alpha-bravo", random: random}
	var mails []string
	for range 5 {
		mails = append(mails, "From alice\nSubject: chaos\n\n"+begin.next())
	}
	other := &stream{name: "bravo-alpha", random: random}
	foreign := other.next()
	sums := []string{begin.sent[3].sum, begin.sent[4].sum}
	for _, test := range []struct {
		name  string
		mails []string
		want  account
	}{
		{"all", mails, account{sent: 5}},
		{"none", nil, account{sent: 5, lost: 5}},
		{"one lost", mails[1:], account{sent: 5, lost: 1}},
		{"one twice", append(mails[:5:5], mails[2]), account{sent: 5, doubled: 1}},
		{"one twice, one lost", append(mails[:4:4], mails[2]), account{sent: 5, doubled: 1, lost: 1}},
		{"a letter changed", append(mails[:4:4], strings.Replace(mails[4], "\nend of it", "x\nend of it", 1)), account{sent: 5, altered: 1, lost: 1}},
		{"cut off", append(mails[:4:4], mails[4][:len(mails[4])-20]), account{sent: 5, altered: 1, lost: 1}},
		{"another's words", append(mails[:4:4], strings.Replace(mails[4], sums[1], sums[0], 1)), account{sent: 5, altered: 1, lost: 1}},
		{"another's number", append(mails[:4:4], strings.Replace(mails[4], " 4 ", " 3 ", 1)), account{sent: 5, altered: 1, lost: 1}},
		{"one never sent", append(mails[:5:5], strings.Replace(mails[4], " 4 ", " 5 ", 1)), account{sent: 5, altered: 1}},
		{"another stream's", append(mails[:5:5], "From bob\n\n"+foreign), account{sent: 5, altered: 1}},
	} {
		in := &inbox{streams: []*stream{{name: begin.name, sent: append([]sent(nil), begin.sent...)}}}
		for _, mail := range test.mails { // one by one, as they come
			in.take([]string{mail})
		}
		if got := in.account(); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}
