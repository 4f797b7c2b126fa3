package dump

import (
	"strings"
	"testing"
)

func TestAccessListsInWords(t *testing.T) {
	list := "\x02\x00\x00\x00" +
		"\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x05\x00\xe8\x03\x00\x00" + "\x04\x00\x04\x00\xff\xff\xff\xff" +
		"\x08\x00\x07\x00\x01\x00\x00\x00" + "\x10\x00\x01\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	got, err := aclText([]byte(list))
	if want := "user::rw-\nuser:1000:r-x\ngroup::r--\ngroup:1:rwx\nmask::--x\nother::---\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "\x02\x00\x00", "\x01\x00\x00\x00", list[:len(list)-1], "\x02\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00"} {
		if text, err := aclText([]byte(bad)); err == nil {
			t.Errorf("%q is %q", bad, text)
		}
	}
}

func FuzzAccessList(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := aclText(b)
		if err == nil && strings.Count(text, "\n") != (len(b)-4)/8 {
			t.Errorf("%x is %q", b, text)
		}
	})
}
