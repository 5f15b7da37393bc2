package cesql_test

import (
	"errors"
	"strings"
	"testing"

	"ebb.dev/ebb/crds/cesql"
	"ebb.dev/ebb/crds/cesql/attribute"
)

func TestASyntaxErrorSaysWhereAndWhatWasExpected(t *testing.T) {
	const operand = `expected an attribute, a literal, a function, NOT, EXISTS, "-" or "("`
	for source, want := range map[string]string{
		"":                         "line 1, column 1: " + operand + ", found the end of the expression",
		"1 +":                      "line 1, column 4: " + operand + ", found the end of the expression",
		"a = = b":                  `line 1, column 5: ` + operand + `, found "="`,
		"type = 'a'\n  AND\n    )": `line 3, column 5: ` + operand + `, found ")"`,
		"'é' = é":                  `line 1, column 7: expected an attribute, a literal, a function or an operator, found "é"`,
		"x LIKE 123":               `line 1, column 8: expected a pattern in quotes, found "123"`,
		"x IN 'a'":                 `line 1, column 6: expected "(" and the values to compare with, found "'a'"`,
		"x IN ()":                  `line 1, column 7: ` + operand + `, found ")"`,
		"EXISTS (x)":               `line 1, column 8: expected the name of an attribute, found "("`,
		"EXISTS and":               `line 1, column 8: expected the name of an attribute, found "and"`,
		"(a":                       `line 1, column 3: expected an operator or ")", found the end of the expression`,
		"ABC(":                     "line 1, column 5: " + operand + ", found the end of the expression",
		"a b":                      `line 1, column 3: expected an operator or the end of the expression, found "b"`,
		"a NOT b":                  `line 1, column 3: expected an operator or the end of the expression, found "NOT"`,
		"a = 'b":                   "line 1, column 7: expected the string to end with ', found the end of the expression",
		"a = 'it''s'":              `line 1, column 8: expected a quote within a string to be written \', found it doubled`,
		"2147483648":               `line 1, column 1: expected an integer from -2147483648 to 2147483647, found "2147483648"`,
		"my_ext = 1":               `line 1, column 1: expected an attribute's name to have only letters and digits, found "my_ext"`,
		"F2(1)":                    `line 1, column 1: expected a function's name to have only letters and underscores, found "F2"`,
		"a = '\xff'":               "line 1, column 6: expected text in UTF-8, found bytes that are not",
	} {
		_, err := cesql.Parse(source)
		var syntax *cesql.SyntaxError
		if !errors.As(err, &syntax) || err.Error() != want {
			t.Errorf("Parse(%q): %v\nwant %s", source, err, want)
		}
	}
}

func TestAnExpressionTooLongOrTooDeepIsRefused(t *testing.T) {
	for _, source := range []string{
		strings.Repeat("(", 1<<15), strings.Repeat("NOT ", 1<<13) + "x", strings.Repeat("- ", 1<<13) + "1", strings.Repeat("A(", 1<<13),
		"'" + strings.Repeat("x", cesql.MaxLength) + "'",
	} {
		if _, err := cesql.Parse(source); err == nil {
			t.Errorf("%.20s… parses", source)
		}
	}
	for _, chain := range []string{"urgent AND ", "1 - ", "hop = 5 OR "} {
		source := strings.Repeat(chain, cesql.MaxLength/len(chain)-1) + "1"
		expression, err := cesql.Parse(source)
		if err != nil {
			t.Errorf("a long chain of %q does not parse: %v", chain, err)
			continue
		}
		if again, err := cesql.Parse(expression.String()); err != nil || again.String() != expression.String() {
			t.Errorf("a long chain of %q has no canonical form: %v", chain, err)
		}
		expression.Compile().Pass(viewOf(sample()))
	}
}

func TestTheCanonicalFormKeepsTheMeaning(t *testing.T) {
	for source, want := range map[string]string{
		"type='a'  and((x))":      "type = 'a' AND x",
		"a and b or c":            "a AND b OR c",
		"(a and b) or c":          "(a AND b) OR c",
		"a and (b or c)":          "a AND b OR c",
		"1-(2-3)-4":               "1 - (2 - 3) - 4",
		"not(a=b)":                "NOT (a = b)",
		"not a=b":                 "NOT a = b",
		"(x in(1,2)) like '%'":    "(x IN (1, 2)) LIKE '%'",
		"- 10":                    "- 10",
		"-10":                     "-10",
		"--'10'":                  "- - '10'",
		"\"a\" not in ('b')":      "'a' NOT IN ('b')",
		`"it's"`:                  `"it's"`,
		"exists SUBJECT":          "EXISTS subject",
		"concat_ws ( ',' , A,1 )": "CONCAT_WS(',', a, 1)",
	} {
		expression, err := cesql.Parse(source)
		if err != nil {
			t.Errorf("Parse(%s): %v", source, err)
			continue
		}
		if got := expression.String(); got != want {
			t.Errorf("%s is %s, want %s", source, got, want)
		}
	}
}

func TestEvaluationBeyondTheTestKit(t *testing.T) {
	yes, no := attribute.Truth(true), attribute.Truth(false)
	for _, c := range []struct {
		expression string
		want       attribute.Value
		failed     cesql.ErrorKind
	}{
		// Characters, not bytes.
		{"LENGTH(subject)", attribute.Number(4), ""},
		{"RIGHT(subject, 1)", attribute.Text("é"), ""},
		{"LEFT(subject, 3)", attribute.Text("caf"), ""},
		{"SUBSTRING(subject, -1)", attribute.Text("é"), ""},
		{"SUBSTRING(subject, 2, 2)", attribute.Text("af"), ""},
		{"SUBSTRING(subject, 2, 99)", attribute.Text("afé"), ""},
		{"SUBSTRING(subject, 2, -2)", attribute.Text(""), cesql.FunctionEvaluationError},
		{"SUBSTRING(subject, 5)", attribute.Text(""), cesql.FunctionEvaluationError},
		{"subject LIKE 'caf_'", yes, ""},
		{"subject LIKE '%_'", yes, ""},
		{"subject LIKE '_____'", no, ""},
		{"subject LIKE '%a%f%'", yes, ""},
		{"subject LIKE '%f%a%'", no, ""},
		{"'aab' LIKE '%a_%'", yes, ""},
		{"'ab' LIKE 'ab%b'", no, ""},
		{"'' LIKE ''", yes, ""},
		{"'' LIKE '%'", yes, ""},
		{`'100%' LIKE '100\%'`, yes, ""},
		{`'a\x' LIKE 'a\%'`, no, ""},
		// Signs next to operators.
		{"4-1", attribute.Number(3), ""},
		{"4 -1", attribute.Number(3), ""},
		{"4--1", attribute.Number(5), ""},
		{"+4 + +1", attribute.Number(5), ""},
		{"-2147483648 / -1", attribute.Number(-2147483648), ""},
		{"7 % -3", attribute.Number(1), ""},
		{"-7 % 3", attribute.Number(-1), ""},
		// Precedence as in the grammar.
		{"FALSE AND TRUE OR TRUE", no, ""},
		{"NOT FALSE = TRUE", yes, ""},
		{"1 + 2 IN (3)", attribute.Number(1), ""},
		{"hop = 5 AND hop + 1 * 2 = 7", yes, ""},
		// Implicit casts go by the right side; those of IN by the left one.
		{"hop = '5'", yes, ""},
		{"'05' = hop", yes, ""},
		{"hop = '05'", no, ""},
		{"urgent = 'TRUE'", no, ""},
		{"region = 1", no, cesql.CastError},
		{"region != 1", no, cesql.CastError},
		{"hop IN ('05', 'x')", yes, ""},
		{"hop IN ('x', '05')", no, cesql.CastError},
		{"hop NOT IN ('1', 2, 3, 4, 6, 7, 8, 9, 10)", yes, ""},
		{"type IN (source, CONCAT('com.example.', 'order.created'))", yes, ""},
		{"region IN (missing)", no, cesql.MissingAttributeError},
		{"urgent AND hop", yes, ""},
		{"region AND urgent", no, cesql.CastError},
		// Errors stop the evaluation, unless a short cut came before.
		{"missing = 'x' OR TRUE", no, cesql.MissingAttributeError},
		{"TRUE OR missing = 'x'", yes, ""},
		{"urgent OR missing = 'x'", yes, ""},
		{"NOT (missing = 'x')", no, cesql.MissingAttributeError},
		{"missing AND FALSE", no, cesql.MissingAttributeError},
		{"IS_INT(region)", no, ""},
		{"IS_INT('12') AND IS_BOOL('tRUE') AND NOT IS_BOOL('x')", yes, ""},
		{"IS_INT(missing)", no, cesql.MissingAttributeError},
		{"ABS(hop - 7)", attribute.Number(2), ""},
		{"TRIM(CONCAT(' ', UPPER(region), LOWER('X ')))", attribute.Text("EUx"), ""},
		{"NO_SUCH(1)", no, cesql.MissingFunctionError},
		{"ABS(1, 2)", no, cesql.MissingFunctionError},
		// The data is no attribute.
		{"data", no, cesql.MissingAttributeError},
		{"EXISTS data", no, ""},
	} {
		expression, err := cesql.Parse(c.expression)
		if err != nil {
			t.Errorf("Parse(%s): %v", c.expression, err)
			continue
		}
		got, err := expression.Compile().Evaluate(viewOf(sample()))
		if got != c.want || kindOf(err) != string(c.failed) {
			t.Errorf("%s = %v %v (%v), want %v %v (%s)", c.expression, got.Type(), got, err, c.want.Type(), c.want, c.failed)
		}
	}
}

func TestWhatCanPassNothingIsAProblem(t *testing.T) {
	for source, want := range map[string]string{
		"type = 'a' AND\n NO_SUCH(1)": "line 2, column 2: there is no function NO_SUCH",
		"SUBSTRING('a')":              "line 1, column 1: the number of arguments of SUBSTRING is to be from 2 to 3",
		"CONCAT_WS()":                 "line 1, column 1: CONCAT_WS takes at least 1 arguments",
		"FALSE AND ABS()":             "line 1, column 11: the number of arguments of ABS is to be 1",
		"'true'":                      "line 1, column 1: a filter is to be a Boolean, and this is always of type String",
		"hop + 1":                     "line 1, column 5: a filter is to be a Boolean, and this is always of type Integer",
		"hop":                         "",
		"hop = 1":                     "",
	} {
		expression, err := cesql.Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := expression.Compile().Problem(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: problem %q, want %q", source, got, want)
		}
	}
}

func TestOnlyTheBooleanTruePasses(t *testing.T) {
	for source, want := range map[string]bool{
		"urgent": true, "NOT urgent": false, "hop": false, "region": false, "missing": false, "hop = 5": true, "'true'": false,
	} {
		expression, err := cesql.Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		if got := expression.Compile().Pass(viewOf(sample())); got != want {
			t.Errorf("%s passes: %t, want %t", source, got, want)
		}
	}
}

func TestEvaluationAllocatesNothing(t *testing.T) {
	expression, err := cesql.Parse("type = 'com.example.order.created' AND subject LIKE 'ca%' AND region IN ('eu', 'us') AND hop < 10 AND NOT EXISTS none")
	if err != nil {
		t.Fatal(err)
	}
	program, view := expression.Compile(), viewOf(sample())
	if !program.Pass(view) {
		t.Fatal("the event does not pass")
	}
	if n := testing.AllocsPerRun(100, func() { program.Pass(view) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
