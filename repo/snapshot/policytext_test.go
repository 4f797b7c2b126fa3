package snapshot

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPoliciesAreRead(t *testing.T) {
	for text, want := range map[string]Policy{
		"30d 5w 12m 10y":              {Daily: 30, Weekly: 5, Monthly: 12, Yearly: 10},
		" 24h\n last\t3 ":             {Hourly: 24, Last: 3},
		"daily 7 weekly all":          {Daily: 7, Weekly: Unlimited},
		"last unlimited":              {Last: Unlimited},
		"hourly 1 monthly 2 yearly 3": {Hourly: 1, Monthly: 2, Yearly: 3},
		"within 1y5m7d2h":             {Within: Duration{1, 5, 7, 2}},
		"within-daily 14d within 2m":  {Within: Duration{Months: 2}, WithinDaily: Duration{Days: 14}},
		"within-hourly 1d within-weekly 2m within-monthly 1y within-yearly 10y": {
			WithinHourly: Duration{Days: 1}, WithinWeekly: Duration{Months: 2}, WithinMonthly: Duration{Years: 1}, WithinYearly: Duration{Years: 10},
		},
		`tag release tag a,b`:          {Tags: []TagList{{"release"}, {"a", "b"}}},
		`tag "" tag "x y, z" 1d`:       {Daily: 1, Tags: []TagList{{""}, {"x y", "z"}}},
		`tag last tag 5d tag "\"\x41"`: {Tags: []TagList{{"last"}, {"5d"}, {`"A`}}},
		"last 007":                     {Last: 7},
	} {
		got, err := ParsePolicy(text)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestWrongWordsArePointedAt(t *testing.T) {
	for _, test := range []struct{ text, word, suggestion string }{
		{"", "", ""}, {"  ", "", ""},
		{"30x", "30x", ""}, {"7d 30days", "30days", "30d"}, {"7d 30D", "30D", "30d"}, {"7d 12mo 3w", "12mo", "12m"}, {"7d,", "7d,", "7d"},
		{"5min", "5min", ""}, {"30", "30", "30d"}, {"7d 30 weeks 5y", "30", "30w"}, {"3 3 m", "3", "3d"}, {"30 last", "30", "30d"},
		{"lsat 3", "lsat", "last"}, {"Last 3", "Last", "last"}, {"--keep-last 3", "--keep-last", "last"}, {"keep-within-dayly 3d", "keep-within-dayly", "within-daily"},
		{"tags x", "tags", "tag"}, {"days 3", "days", "daily"}, {"foo 3", "foo", ""}, {"all", "all", "last all"}, {"xyzzyxyzzyxyzzyxyzzy", "xyzzyxyzzyxyzzyxyzzy", ""},
		{"last", "last", ""}, {"7d within", "within", ""}, {"7d tag", "tag", ""},
		{"last x", "x", ""}, {"last -1", "-1", "all"}, {"last 0", "0", ""}, {"0d", "0d", ""}, {"last 5d", "5d", "5"}, {"last ALL", "ALL", ""},
		{"last 99999999999999999999", "99999999999999999999", "all"}, {"99999999999999999999d", "99999999999999999999d", "daily all"},
		{"within 2w", "2w", "14d"}, {"within 14", "14", "14d"}, {"within 1y 2x", "2x", ""}, {"within -3d", "-3d", ""}, {"within 0d", "0d", ""},
		{"within 2weeks", "2weeks", "14d"}, {"within 12months", "12months", "12m"}, {"within days", "days", ""},
		{"7d 5w 6d", "6d", ""}, {"last 3 7d last 4", "4", ""}, {"within 3d within 4d", "4d", ""},
		{`"last" 3`, `"last"`, ""}, {`tag "a b`, `"a`, ""}, {`tag "a"b`, `"a"b`, ""}, {`tag "\q"`, `"\q"`, ""},
	} {
		p, err := ParsePolicy(test.text)
		var wrong *PolicyError
		if !errors.As(err, &wrong) {
			t.Errorf("%q: %+v, %v", test.text, p, err)
			continue
		}
		if wrong.Word != test.word || wrong.Text != test.text || wrong.Text[wrong.Offset:wrong.Offset+len(wrong.Word)] != wrong.Word || wrong.Problem == "" {
			t.Errorf("%q: points at %q at %d: %v", test.text, wrong.Word, wrong.Offset, wrong)
		}
		if wrong.Suggestion != test.suggestion {
			t.Errorf("%q: suggests %q, want %q", test.text, wrong.Suggestion, test.suggestion)
		}
		if msg := wrong.Error(); !strings.Contains(msg, test.word) || !strings.Contains(msg, test.suggestion) {
			t.Errorf("%q: message %q", test.text, msg)
		}
	}
}

func TestPoliciesAsTextMeanTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := genPolicy().Draw(t, "policy")
		if p.Empty() {
			if p.String() != "" {
				t.Fatalf("empty policy is %q", p.String())
			}
			return
		}
		got, err := ParsePolicy(p.String())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got.Tags, p.Tags, func(a, b TagList) bool { return slices.Equal(a, b) }) {
			t.Fatalf("%q: tags %q, want %q", p.String(), got.Tags, p.Tags)
		}
		got.Tags, p.Tags = nil, nil
		if !reflect.DeepEqual(*got, p) {
			t.Fatalf("%q: %+v", p.String(), got)
		}
	})
}

func TestPoliciesInFiles(t *testing.T) {
	p := Policy{Last: 1, Tags: []TagList{{"a b"}}}
	text, err := p.MarshalText()
	if err != nil || string(text) != `last 1 tag "a b"` {
		t.Errorf("%s, %v", text, err)
	}
	var got Policy
	if err := got.UnmarshalText(text); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := got.UnmarshalText([]byte("1x")); err == nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := (&Policy{Last: -2}).MarshalText(); err == nil {
		t.Error("a policy without sense has a text")
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, s := range []string{"last 5 24h 30d 5w 12m 10y", `within 1y2m3d4h tag "a b,c" tag x`, "7d 30 days", "within-daily 2w", `tag "\u00e4`, "lsat 3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePolicy(text)
		if err != nil {
			var wrong *PolicyError
			if !errors.As(err, &wrong) || text[wrong.Offset:wrong.Offset+len(wrong.Word)] != wrong.Word {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		again, err := ParsePolicy(p.String())
		if err != nil || again.String() != p.String() || p.Validate() != nil || p.Empty() {
			t.Fatalf("%q: %q, then %v, %v", text, p, again, err)
		}
	})
}
