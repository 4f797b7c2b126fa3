package machine

import (
	"fmt"
	"reflect"
	"runtime"
	"testing"
)

func TestParseCPU(t *testing.T) {
	for _, test := range []struct {
		info, model string
		flags       []string
	}{
		{"processor\t: 0\nmodel name\t: Some CPU @ 2GHz\nflags\t\t: fpu sha_ni aes gfni nonsense\n\nprocessor\t: 1\nmodel name\t: Other\nflags\t\t: avx2\n",
			"Some CPU @ 2GHz", []string{"aes", "gfni", "sha_ni"}},
		{"processor\t: 0\nFeatures\t: fp asimd aes pmull sha1 sha2\n", "", []string{"aes", "asimd", "pmull", "sha2"}},
		{"", "", nil},
	} {
		model, flags := parseCPU(test.info)
		if model != test.model || !reflect.DeepEqual(flags, test.flags) {
			t.Errorf("%q: %q, %q", test.info, model, flags)
		}
	}
}

func TestParseMemory(t *testing.T) {
	for info, want := range map[string]int64{"MemTotal:       1024 kB\nMemFree: 1 kB\n": 1 << 20, "MemFree: 1 kB\n": 0, "MemTotal: x kB\n": 0, "": 0} {
		if got := parseMemory(info); got != want {
			t.Errorf("%q: %d", info, got)
		}
	}
}

func TestDescribe(t *testing.T) {
	m := Describe(t.TempDir())
	if m.OS != runtime.GOOS || m.Cores < 1 {
		t.Errorf("%+v", m)
	}
	if runtime.GOOS == "linux" && (m.Kernel == "" || m.Memory == 0 || m.FileSystem == "" || m.Load == "") {
		t.Errorf("%+v", m)
	}
}

func ExampleDescribe() {
	m := Describe(".")
	fmt.Println(m.OS == runtime.GOOS)
	// Output: true
}
