package main

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// What is lost, altered or delivered twice is seen, and told apart.
func TestCount(t *testing.T) {
	s := &stream{name: "out", random: rand.New(rand.NewPCG(1, 2))}
	var sent, mails []string
	for i := range 5 {
		body, sum := s.message(i)
		sent, mails = append(sent, sum), append(mails, "From alice\nSubject: chaos\n\n"+body)
	}
	other := &stream{name: "back", random: s.random}
	foreign, _ := other.message(0)
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
		{"another's words", append(mails[:4:4], strings.Replace(mails[4], sent[4], sent[3], 1)), account{sent: 5, altered: 1, lost: 1}},
		{"another stream's", append(mails[:5:5], "From bob\n\n"+foreign), account{sent: 5, altered: 1}},
	} {
		if got := count("out", sent, test.mails); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}
