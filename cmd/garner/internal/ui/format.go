package ui

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bytes formats a number of bytes: "17 B", "3.584 KiB", "1.234 GiB".
func Bytes(n uint64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n) / (1 << 10)
	i := 0
	for v >= 1<<10 && i < len(units)-1 {
		v /= 1 << 10
		i++
	}
	return fmt.Sprintf("%.3f %s", v, units[i])
}

// Duration formats a duration as minutes and seconds, with hours if there are
// any: "0:07", "1:02:03".
func Duration(d time.Duration) string {
	s := int64(d / time.Second)
	h, m, s := s/3600, s/60%60, s%60
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%02d", h, m, s)
	}
	return fmt.Sprintf("%d:%02d", m, s)
}

// Percent formats done of total.
func Percent(done, total int64) string {
	if total <= 0 {
		return ""
	}
	return fmt.Sprintf("%.2f%%", min(100, 100*float64(done)/float64(total)))
}

// ParseBytes parses a size like "500", "10k", "1.5G" or "2MiB"; the letters
// stand for powers of 1024.
func ParseBytes(s string) (int64, error) {
	num := strings.ToLower(strings.TrimSpace(s))
	num = strings.TrimSuffix(strings.TrimSuffix(num, "b"), "i")
	unit := int64(1)
	if n := len(num); n > 0 {
		if i := strings.IndexByte("kmgt", num[n-1]); i >= 0 {
			unit = 1 << (10 * (i + 1))
			num = num[:n-1]
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
	if err != nil || v < 0 || v*float64(unit) >= 1<<62 {
		return 0, fmt.Errorf("invalid size %q: want a number and perhaps one of k, m, g, t", s)
	}
	return int64(v * float64(unit)), nil
}
