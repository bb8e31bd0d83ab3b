package mysql

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// examples are a rule of each kind.
func examples() map[string]rule {
	return map[string]rule{
		"boolean":  boolean{},
		"integer":  newInteger("10", "100000", "1"),
		"signed":   newInteger("-1", "2147483647", "1"),
		"blocks":   newInteger("8192", "2147483647", "4096"),
		"unsigned": newInteger("0", "18446744073709551615", "4096"),
		"decimal":  decimal{"0", "99.999"},
		"choice":   choice{words: []string{"OFF", "ON", "DEMAND"}, never: "DEMAND"},
		"set":      members{words: strings.Split("ANSI,ANSI_QUOTES,PIPES_AS_CONCAT,IGNORE_SPACE,REAL_AS_FLOAT,ALLOW", ","), stands: standsFor("sql_mode")},
		"flags":    flags{[]string{"mrr", "mrr_cost_based", "default"}},
		"charset":  named{what: "character set"},
		"engine":   named{what: "storage engine", none: true},
		"zone":     zone{},
		"free":     free{},
		"list":     free{unordered: true},
		"nullable": free{keyword: "NULL"},
		"loose":    loose{now: "ON"},
	}
}

func TestATextIsTakenWrittenInSQLOrRefused(t *testing.T) {
	t.Parallel()
	integers := "takes a whole number from 10 to 100000, also with K, M, G, T, P or E behind it"
	decimals := "takes a number from 0 to 99.999 with at most 6 decimal places"
	words := "takes any of ANSI, ANSI_QUOTES, PIPES_AS_CONCAT, IGNORE_SPACE, REAL_AS_FLOAT, ALLOW, separated by commas without blanks"
	switches := "takes switches, each once and with =on or =off, separated by commas without blanks, of mrr, mrr_cost_based"
	cases := map[string]struct{ rule, text, literal, refusal string }{
		"ON":                                      {"boolean", "on", "ON", ""},
		"a number for OFF":                        {"boolean", "0", "OFF", ""},
		"a word for ON":                           {"boolean", "TRUE", "ON", ""},
		"yes is no switch":                        {"boolean", "yes", "", errBoolean.Error()},
		"a number":                                {"integer", "500", "500", ""},
		"a number with a unit":                    {"integer", "64K", "65536", ""},
		"a number with zeros":                     {"integer", "0010", "10", ""},
		"too small a number":                      {"integer", "9", "9", integers},
		"too large a number":                      {"integer", "100001", "100001", integers},
		"too large a number by its unit":          {"integer", "1e", "1152921504606846976", integers},
		"no number":                               {"integer", "many", "", integers},
		"a blank in a number":                     {"integer", " 500", "", integers},
		"a fraction":                              {"integer", "10.5", "", integers},
		"nothing":                                 {"integer", "", "", integers},
		"a number below zero":                     {"signed", "-1", "-1", ""},
		"a whole block":                           {"blocks", "12K", "12288", ""},
		"not a whole block":                       {"blocks", "8193", "8193", "takes multiples of 4096: the nearest is 8192"},
		"nearer to the next block":                {"blocks", "12287", "12287", "takes multiples of 4096: the nearest is 12288"},
		"the last block":                          {"blocks", "2147483647", "2147483647", "takes multiples of 4096: the nearest is 2147479552"},
		"the largest whole block":                 {"unsigned", "18446744073709547520", "18446744073709547520", ""},
		"the largest number":                      {"unsigned", "18446744073709551615", "18446744073709551615", "takes multiples of 4096: the nearest is 18446744073709547520"},
		"a number that no server can hold":        {"unsigned", "18446744073709551616", "18446744073709551616", "takes a whole number from 0 to 18446744073709551615, also with K, M, G, T, P or E behind it"},
		"a number with places":                    {"decimal", "1.500000", "1.500000", ""},
		"a number with more places":               {"decimal", "1.0000001", "1.0000001", decimals},
		"zeros are no places":                     {"decimal", "1.50000000", "1.50000000", ""},
		"above the largest":                       {"decimal", "100", "100", decimals},
		"no decimal":                              {"decimal", "1e3", "", decimals},
		"a word of a choice":                      {"choice", "on", "'ON'", ""},
		"the number of a word":                    {"choice", "0", "'OFF'", ""},
		"a word that is not taken":                {"choice", "demand", "", "takes one of OFF, ON"},
		"a number too many":                       {"choice", "3", "", "takes one of OFF, ON"},
		"words of a set":                          {"set", "allow,ansi", "'ALLOW,ANSI'", ""},
		"no words":                                {"set", "", "''", ""},
		"an unknown word":                         {"set", "ANSI,NOPE", "", words},
		"a blank in a set":                        {"set", "ANSI, ALLOW", "", words},
		"switches":                                {"flags", "MRR=ON", "'mrr=on'", ""},
		"the default of a switch":                 {"flags", "mrr=default", "", switches},
		"all defaults":                            {"flags", "default", "", switches},
		"a switch twice":                          {"flags", "mrr=on,mrr=off", "", switches},
		"no switch":                               {"flags", "", "", switches},
		"a name":                                  {"charset", "utf8mb4", "'utf8mb4'", ""},
		"a name that is more than one":            {"charset", "UTF8", "'UTF8'", "takes utf8mb3 or utf8mb4 in the place of utf8, which may be either"},
		"a collation that is more than one":       {"charset", "utf8_bin", "'utf8_bin'", "takes utf8mb3 or utf8mb4 in the place of utf8, which may be either"},
		"a number is no name":                     {"charset", "33", "", "takes the name of a character set"},
		"no name":                                 {"charset", "", "", "takes the name of a character set"},
		"no storage engine":                       {"engine", "", "NULL", ""},
		"an offset":                               {"zone", "+1:00", "'+1:00'", ""},
		"a zone":                                  {"zone", "Europe/Vienna", "'Europe/Vienna'", ""},
		"no zone":                                 {"zone", "1 hour", "", errZone.Error()},
		"free text":                               {"free", "it's", "'it''s'", ""},
		"free text that a server would change":    {"free", "😀", "", errFree.Error()},
		"bytes that are no text":                  {"free", "\xff", "", errFree.Error()},
		"nothing where the server wants NULL":     {"nullable", "", "NULL", ""},
		"a switch of a server without a schema":   {"loose", "1", "ON", ""},
		"another word where there are switches":   {"loose", "ON_PERMISSIVE", "'ON_PERMISSIVE'", ""},
		"a quote where the server has no schema":  {"loose", "a'b", "'a''b'", ""},
		"emoji where the server has no schema":    {"loose", "😀", "", errFree.Error()},
		"more digits than any number":             {"integer", strings.Repeat("1", 40), "", integers},
		"more digits than any number with places": {"decimal", strings.Repeat("1", 40), "", decimals},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := examples()[test.rule]
			literal, _ := r.literal(test.text)
			refusal := ""
			if err := r.Check(test.text); err != nil {
				refusal = err.Error()
			}
			if diff := cmp.Diff([]string{test.literal, test.refusal}, []string{literal, refusal}); diff != "" {
				t.Errorf("literal and refusal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTwoTextsAreTheSameValue(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		rule, have, want string
		same             bool
	}{
		"ON and 1":                             {"boolean", "ON", "1", true},
		"ON and OFF":                           {"boolean", "ON", "OFF", false},
		"units":                                {"integer", "65536", "64k", true},
		"other numbers":                        {"integer", "65536", "64", false},
		"no number is no number":               {"integer", "x", "x", false},
		"places":                               {"decimal", "10.000000", "10", true},
		"other places":                         {"decimal", "10.000000", "10.1", false},
		"a word and its number":                {"choice", "ON", "1", true},
		"the order of a set":                   {"set", "ANSI_QUOTES,ALLOW", "allow,ansi_quotes", true},
		"what a word stands for":               {"set", "REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ANSI", "ANSI", true},
		"more than a word stands for":          {"set", "REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,ANSI,ALLOW", "ANSI", false},
		"what a word stands for, without it":   {"set", "REAL_AS_FLOAT,PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE", "ANSI", false},
		"one of the switches":                  {"flags", "mrr=on,mrr_cost_based=off", "MRR=on", true},
		"one of the switches, another way":     {"flags", "mrr=on,mrr_cost_based=off", "mrr=off", false},
		"a switch that the server has not":     {"flags", "mrr=on", "mrr_cost_based=off", false},
		"names":                                {"charset", "utf8mb4", "UTF8MB4", true},
		"offsets":                              {"zone", "+01:00", "+1:00", true},
		"no offset":                            {"zone", "+00:00", "-00:00", true},
		"zones":                                {"zone", "SYSTEM", "system", true},
		"free text":                            {"free", "a,b", "b,a", false},
		"a list":                               {"list", "a,b", "b, a", true},
		"switches without a schema":            {"loose", "ON", "true", true},
		"words without a schema":               {"loose", "ROW", "row", true},
		"words in any order without a schema":  {"loose", "STRICT_ALL_TABLES,ANSI", "ansi,strict_all_tables", true},
		"paths without a schema":               {"loose", "/a/B", "/a/b", false},
		"other words without a schema":         {"loose", "ROW", "MIXED", false},
		"switches with names without a schema": {"loose", "mrr=on,icp=off", "icp=off,mrr=on", true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := examples()[test.rule].Same(test.have, test.want); got != test.same {
				t.Errorf("Same(%q, %q) = %t, want %t", test.have, test.want, got, test.same)
			}
		})
	}
}

// FuzzRules: what is taken can be written, is one literal, and is the same as itself; no refusal has the text in it.
func FuzzRules(f *testing.F) {
	for _, seed := range []string{"", "ON", "1", "64M", "-1", "1.5", "ANSI,ALLOW", "mrr=on", "utf8mb4", "+01:00", "it's", `\`, "😀"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, r := range examples() {
			literal, unwritten := r.literal(text)
			refusal := r.Check(text)
			if refusal == nil && unwritten != nil {
				t.Errorf("%s takes %q and cannot write it: %v", name, text, unwritten)
			}
			if refusal == nil && !r.Same(text, text) {
				t.Errorf("%s: %q is not the same as itself", name, text)
			}
			if _, rest := unquoted(literal, true); (strings.HasPrefix(literal, "'") || strings.HasPrefix(literal, "_")) && rest != "" {
				t.Errorf("%s: %q became %s, which is more than one literal", name, text, literal)
			}
			if len(text) > 12 && refusal != nil && strings.Contains(refusal.Error(), text) {
				t.Errorf("%s: the refusal %q has the text in it", name, refusal)
			}
		}
	})
}
