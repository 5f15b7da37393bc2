// Package cesql is CloudEvents SQL, version 1.0: expressions over the context attributes of an event.
//
// In: the text of an expression, once; then events. Out: whether the event passes, or the value and the error the specification asks for;
// and of an expression that is wrong, where and what was expected there.
//
// Hard rule: no text makes the parser panic, and an evaluation always ends, in time linear in the lengths of the expression and of what it
// reads; only for LIKE it is, at worst, the product of the pattern's length and the text's.
//
// It is an implementation of our own because the CloudEvents SDK's panics while parsing ("4-1", "1 +") and while evaluating (SUBSTRING
// with a negative length), counts bytes where the specification counts characters, and does not say where an expression is wrong.
//
// Evaluation stops at the first error, as the specification recommends for filters (section 4.1). Where the specification's text and its
// grammar differ, the grammar rules, as it does in Knative: AND, OR and XOR have one precedence and group to the right, so that
// "a AND b OR c" is "a AND (b OR c)"; NOT binds more tightly than everything but a call.
package cesql
