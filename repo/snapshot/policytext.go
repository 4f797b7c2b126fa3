package snapshot

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// PolicyError says which word of a policy's text is wrong.
type PolicyError struct {
	Text       string // all of it
	Offset     int    // of the word in Text, in bytes
	Word       string // as it stands in Text; empty at the end
	Problem    string
	Suggestion string // a word that would be right here; may be empty
}

func (e *PolicyError) Error() string {
	msg := fmt.Sprintf("policy %q: ", e.Text)
	if e.Word != "" {
		msg += fmt.Sprintf("%s at position %d: ", e.Word, e.Offset+1)
	}
	msg += e.Problem
	if e.Suggestion != "" {
		msg += fmt.Sprintf("; did you mean `%s`?", e.Suggestion)
	}
	return msg
}

// unitRules are the letters of counts.
var unitRules = map[byte]Rule{'h': RuleHourly, 'd': RuleDaily, 'w': RuleWeekly, 'm': RuleMonthly, 'y': RuleYearly}

// ParsePolicy reads a policy like "last 5 24h 30d 5w 12m 10y tag release".
// It consists of rules separated by white space, in any order:
//
//	24h 30d 5w 12m 10y     a number of hourly, daily, weekly, monthly, yearly ones
//	daily N                the same with words; N may be "all"
//	last N                 the last N, whatever their time
//	within DURATION        all within, say, 1y5m7d2h
//	within-daily DURATION  and so on: the daily ones within
//	tag TAG[,TAG...]       those with all of these tags; may be there again
//
// A list of tags with white space in it stands in double quotes, and so does
// the empty one, which means snapshots without a tag. In quotes, a backslash
// works as in Go. Any other error than a *PolicyError is a bug.
func ParsePolicy(text string) (*Policy, error) {
	p := &policyParser{text: text, policy: new(Policy), given: make(map[Rule]bool)}
	for p.next() {
		p.rule()
	}
	if p.err == nil && p.policy.Empty() {
		p.fail("there is no rule in it", "")
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.policy, nil
}

type policyParser struct {
	text   string
	policy *Policy
	given  map[Rule]bool
	err    *PolicyError // the first one

	// The current word and where it is.
	word  string
	begin int
	end   int
}

// fail reports the current word.
func (p *policyParser) fail(problem, suggestion string) {
	if p.err == nil {
		p.err = &PolicyError{Text: p.text, Offset: p.begin, Word: p.text[p.begin:p.end], Problem: problem, Suggestion: suggestion}
	}
}

const policySpace = " \t\r\n"

// next goes to the next word, and reports whether there is one. At the end,
// and after an error, there is none.
func (p *policyParser) next() bool {
	rest := strings.TrimLeft(p.text[p.end:], policySpace)
	p.begin = len(p.text) - len(rest)
	p.end = p.begin
	p.word = ""
	if p.err != nil || rest == "" {
		return false
	}
	n := strings.IndexAny(rest, policySpace)
	if n < 0 {
		n = len(rest)
	}
	if rest[0] != '"' {
		p.end += n
		p.word = rest[:n]
		return true
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err == nil && (len(quoted) == len(rest) || strings.IndexByte(policySpace, rest[len(quoted)]) >= 0) {
		p.end += len(quoted)
		p.word, _ = strconv.Unquote(quoted) // a prefix that is quoted can be
		return true
	}
	p.end += n
	p.fail("a word in quotes does not end, or goes on after them", "")
	return false
}

// rule reads the rule that begins with the current word.
func (p *policyParser) rule() {
	if strings.HasPrefix(p.text[p.begin:], `"`) {
		p.fail("quotes are for lists of tags only: want `tag` before it", "")
		return
	}
	word := p.word
	if digits, unit := splitCount(word); digits != "" {
		if len(unit) == 1 && unitRules[unit[0]] != 0 {
			rule := unitRules[unit[0]]
			p.count(rule, digits, rule.String()+" all")
		} else {
			p.noUnit(digits, unit)
		}
		return
	}
	rule, ok := ruleByName(word)
	if !ok {
		p.fail("not the beginning of a rule", suggestRule(word))
		return
	}
	begin, end := p.begin, p.end
	if !p.next() {
		if p.err == nil {
			p.begin, p.end = begin, end
			p.fail("something must follow: "+argumentOf(rule), "")
		}
		return
	}
	switch {
	case rule == RuleTag:
		p.policy.Tags = append(p.policy.Tags, ParseTags(p.word))
	case p.policy.durationField(rule) != nil:
		p.duration(rule)
	case p.word == "all" || p.word == "unlimited":
		p.set(rule, Unlimited)
	default:
		p.count(rule, p.word, "all")
	}
}

// argumentOf describes what stands after the name of a rule.
func argumentOf(r Rule) string {
	switch {
	case r == RuleTag:
		return "tags, separated by commas"
	case new(Policy).durationField(r) != nil:
		return "a duration like 14d or 1y6m"
	}
	return "a number or `all`"
}

// count reads a number; all is what to write in place of one without an end.
func (p *policyParser) count(rule Rule, digits, all string) {
	n, err := strconv.Atoi(digits)
	switch {
	case errors.Is(err, strconv.ErrRange):
		p.fail("the number is too large", all)
	case err != nil:
		p.fail("want "+argumentOf(rule), suggestNumber(digits))
	case n < 0:
		p.fail("a number can't be negative", all)
	case n == 0:
		p.fail("keeps nothing; leave it out", "")
	default:
		p.set(rule, n)
	}
}

func (p *policyParser) set(rule Rule, n int) {
	if p.once(rule) {
		*p.policy.countField(rule) = n
	}
}

func (p *policyParser) duration(rule Rule) {
	d, err := ParseDuration(p.word)
	switch {
	case err != nil:
		p.fail("want a duration with the units y, m (months), d and h", suggestDuration(p.word))
	case d.IsZero():
		p.fail("keeps nothing; leave it out", "")
	case p.once(rule):
		*p.policy.durationField(rule) = d
	}
}

// once reports a rule that was there before.
func (p *policyParser) once(rule Rule) bool {
	if p.given[rule] {
		p.fail(fmt.Sprintf("%s is there twice", rule), "")
	}
	p.given[rule] = true
	return p.err == nil
}

// noUnit reports a number without one of the letters after it.
func (p *policyParser) noUnit(digits, unit string) {
	if unit == "" {
		suggestion := digits + "d"
		if words := strings.Fields(p.text[p.end:]); len(words) > 0 {
			if letter, ok := unitOf(words[0]); ok { // behind a space
				suggestion = digits + string(letter)
			}
		}
		p.fail("a number needs one of the letters h, d, w, m, y behind it", suggestion)
		return
	}
	suggestion := ""
	if letter, ok := unitOf(unit); ok {
		suggestion = digits + string(letter)
	}
	p.fail("want one of the letters h, d, w, m, y after the number", suggestion)
}

// splitCount cuts a word that begins with a number behind it.
func splitCount(word string) (digits, unit string) {
	unit = strings.TrimLeft(word, "0123456789")
	return word[:len(word)-len(unit)], unit
}

// countField returns where the count of a rule is, nil if it has none.
func (p *Policy) countField(r Rule) *int {
	switch r {
	case RuleLast:
		return &p.Last
	case RuleHourly:
		return &p.Hourly
	case RuleDaily:
		return &p.Daily
	case RuleWeekly:
		return &p.Weekly
	case RuleMonthly:
		return &p.Monthly
	case RuleYearly:
		return &p.Yearly
	}
	return nil
}

// durationField returns where the duration of a rule is, nil if it has none.
func (p *Policy) durationField(r Rule) *Duration {
	switch r {
	case RuleWithin:
		return &p.Within
	case RuleWithinHourly:
		return &p.WithinHourly
	case RuleWithinDaily:
		return &p.WithinDaily
	case RuleWithinWeekly:
		return &p.WithinWeekly
	case RuleWithinMonthly:
		return &p.WithinMonthly
	case RuleWithinYearly:
		return &p.WithinYearly
	}
	return nil
}

// String returns the policy as ParsePolicy reads it: counts, durations, tags.
// That of an empty policy is empty. A tag with a comma in it, which no program
// makes, becomes two.
func (p *Policy) String() string {
	var words []string
	for r := RuleLast; r <= RuleYearly; r++ {
		switch n := *p.countField(r); {
		case n < 0:
			words = append(words, r.String()+" all")
		case n > 0 && r == RuleLast:
			words = append(words, "last "+strconv.Itoa(n))
		case n > 0:
			words = append(words, strconv.Itoa(n)+r.String()[:1])
		}
	}
	for r := range Rule(len(ruleNames)) {
		if d := p.durationField(r); d != nil && !d.IsZero() {
			words = append(words, r.String()+" "+d.String())
		}
	}
	for _, l := range p.Tags {
		words = append(words, "tag "+quoteTags(strings.Join(l, ",")))
	}
	return strings.Join(words, " ")
}

// quoteTags puts a list of tags in quotes unless it is one word as it is.
func quoteTags(s string) string {
	if q := strconv.Quote(s); s == "" || strings.ContainsAny(s, policySpace+`"`) || len(q) != len(s)+2 {
		return q
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (p *Policy) MarshalText() ([]byte, error) { return []byte(p.String()), p.Validate() }

// UnmarshalText implements encoding.TextUnmarshaler, for policies in files.
func (p *Policy) UnmarshalText(text []byte) error {
	parsed, err := ParsePolicy(string(text))
	if err != nil {
		return err
	}
	*p = *parsed
	return nil
}
