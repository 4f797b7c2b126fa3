package snapshot

import (
	"slices"
	"strings"
)

// ruleByName returns the rule that a word begins.
func ruleByName(word string) (Rule, bool) {
	i := slices.Index(ruleNames[:], word)
	return Rule(max(i, 0)), i >= 0
}

// maxTypos is how many letters of a word may be wrong for a suggestion.
const maxTypos = 2

// suggestRule returns the name of the rule that a word may stand for, empty if
// it is like none.
func suggestRule(word string) string {
	word = strings.ToLower(strings.Trim(word, "-,;:="))
	word = strings.ReplaceAll(strings.TrimPrefix(word, "keep-"), "_", "-")
	switch word {
	case "tags":
		return "tag"
	case "newest", "latest", "recent":
		return "last"
	case "all", "unlimited":
		return "last all"
	}
	if r, ok := unitOf(word); ok && len(word) > 1 {
		return unitRules[r].String()
	}
	best, typos := "", maxTypos+1
	for _, name := range ruleNames {
		if n := distance(word, name); n < typos && n < len(name)-1 {
			best, typos = name, n
		}
	}
	return best
}

// units are words for the letters of counts.
var units = map[string]byte{
	"h": 'h', "hr": 'h', "hrs": 'h', "hour": 'h', "hours": 'h', "hourly": 'h',
	"d": 'd', "day": 'd', "days": 'd', "daily": 'd',
	"w": 'w', "wk": 'w', "wks": 'w', "week": 'w', "weeks": 'w', "weekly": 'w',
	"m": 'm', "mo": 'm', "mon": 'm', "month": 'm', "months": 'm', "monthly": 'm',
	"y": 'y', "yr": 'y', "yrs": 'y', "year": 'y', "years": 'y', "yearly": 'y',
}

// unitOf returns the letter that a word for a unit stands for.
func unitOf(word string) (byte, bool) {
	letter, ok := units[strings.ToLower(strings.Trim(word, "-,;"))]
	return letter, ok
}

// suggestNumber returns the number at the beginning of a word.
func suggestNumber(word string) string {
	digits, _ := splitCount(strings.TrimLeft(word, "=+"))
	if strings.Trim(digits, "0") == "" {
		return ""
	}
	return digits
}

// suggestDuration returns a duration with units that exist, empty if it finds
// none.
func suggestDuration(word string) string {
	digits, unit := splitCount(strings.TrimLeft(word, "=+"))
	letter, ok := unitOf(unit)
	switch {
	case digits == "" || len(digits) > 4:
		return ""
	case unit == "":
		return digits + "d"
	case !ok:
		return ""
	case letter == 'w':
		return weeks(digits)
	}
	return digits + string(letter)
}

// weeks returns a number of weeks in days.
func weeks(digits string) string {
	n := 0
	for _, d := range digits {
		n = n*10 + int(d-'0')
	}
	return Duration{Days: 7 * n}.String()
}

// distance returns how many letters must be put in, taken out or replaced to
// make one word of the other. Words longer than all names are far from them.
func distance(a, b string) int {
	if len(a) > len(b)+maxTypos {
		return maxTypos + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
