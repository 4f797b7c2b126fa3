package measure

import "testing"

func TestParseCalls(t *testing.T) {
	for name, test := range map[string]struct {
		table string
		want  int64
		fails bool
	}{
		"with errors": {`% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ------------------
 60.00    0.000300          12        25         3 openat
 40.00    0.000200          20        10           read
------ ----------- ----------- --------- --------- ------------------
100.00    0.000500          14        35         3 total
`, 35, false},
		"without": {`% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ------------------
100.00    0.000200          20        10           total
`, 10, false},
		"nothing":     {"", 0, true},
		"no total":    {"% time     seconds  usecs/call     calls    errors syscall\n1 1 1 1 read\n", 0, true},
		"no header":   {"100.00    0.000200          20        10           total\n", 0, true},
		"not numbers": {"% time     seconds  usecs/call     calls    errors syscall\n100.00 x y z total\n", 0, true},
	} {
		got, err := parseCalls(test.table)
		if got != test.want || (err != nil) != test.fails {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}
