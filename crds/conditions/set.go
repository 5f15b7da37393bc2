package conditions

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Set is the happy condition of a kind and the conditions that it depends on.
type Set struct {
	happy      Type
	dependents []Type
}

// Living returns the set of a kind that lives on: Ready is True when all dependents are.
func Living(dependents ...Type) Set { return Set{happy: Ready, dependents: dependents} }

// Batch returns the set of a kind that runs to an end: Succeeded is True when all dependents are.
func Batch(dependents ...Type) Set { return Set{happy: Succeeded, dependents: dependents} }

// Happy returns the type of the happy condition.
func (s Set) Happy() Type { return s.happy }

// Manage returns the manager that marks conditions of status. All its marks carry the time now, cut to whole seconds as on the wire.
func (s Set) Manage(status *Status, now metav1.Time) Manager {
	return Manager{set: s, status: status, now: now.Rfc3339Copy()}
}

// Manager marks conditions and keeps the happy one in step.
type Manager struct {
	set    Set
	status *Status
	now    metav1.Time
}

// Get returns a copy of the condition of type t, or nil.
func (m Manager) Get(t Type) *Condition { return m.status.GetCondition(t) }

// IsHappy reports whether the happy condition is True.
func (m Manager) IsHappy() bool { return m.Get(m.set.happy).IsTrue() }

// Initialize adds what is missing of the happy condition and its dependents, as Unknown.
// Where the happy condition is already True its dependents are held to be True too: that is what its being True means.
func (m Manager) Initialize() {
	status := corev1.ConditionUnknown
	if m.IsHappy() {
		status = corev1.ConditionTrue
	}
	for _, t := range append([]Type{m.set.happy}, m.set.dependents...) {
		if m.Get(t) == nil {
			m.put(Condition{Type: t, Status: status})
		}
	}
}

// MarkTrue sets t to True and clears its reason and message.
func (m Manager) MarkTrue(t Type) { m.mark(t, corev1.ConditionTrue, "", "") }

// MarkTrueWithReason sets t to True and says why.
func (m Manager) MarkTrueWithReason(t Type, reason, message string) {
	m.mark(t, corev1.ConditionTrue, reason, message)
}

// MarkFalse sets t to False. The happy condition follows if it depends on t.
func (m Manager) MarkFalse(t Type, reason, message string) {
	m.mark(t, corev1.ConditionFalse, reason, message)
}

// MarkUnknown sets t to Unknown. The happy condition follows if it depends on t and no dependent is False.
func (m Manager) MarkUnknown(t Type, reason, message string) {
	m.mark(t, corev1.ConditionUnknown, reason, message)
}

// Copy sets t to what c says: status, reason and message. A nil c changes nothing.
func (m Manager) Copy(t Type, c *Condition) {
	switch {
	case c == nil:
	case c.IsTrue():
		m.MarkTrue(t)
	default:
		m.mark(t, c.Status, c.Reason, c.Message)
	}
}

// Explain says why t is what it is, and leaves it so. It is lost when t is marked again: the happy condition with each of its dependents.
func (m Manager) Explain(t Type, reason, message string) {
	if c := m.Get(t); c != nil {
		c.Reason, c.Message = reason, message
		m.put(*c)
	}
}

// Clear removes t. The happy condition and its dependents stay: a kind always shows them.
func (m Manager) Clear(t Type) {
	if m.decides(t) {
		return
	}
	m.status.Conditions = slices.DeleteFunc(m.status.Conditions, func(c Condition) bool { return c.Type == t })
}

func (m Manager) mark(t Type, status corev1.ConditionStatus, reason, message string) {
	c := Condition{Type: t, Status: status, Reason: reason, Message: message}
	if !m.decides(t) {
		c.Severity = SeverityInfo
	}
	m.put(c)
	if m.decides(t) && len(m.set.dependents) > 0 && (t != m.set.happy || c.IsTrue()) {
		m.recompute()
	}
}

// decides reports whether t is the happy condition or one that it depends on.
func (m Manager) decides(t Type) bool {
	return t == m.set.happy || slices.Contains(m.set.dependents, t)
}

// put stores c and keeps the order by type. A condition that says nothing new keeps its transition time.
func (m Manager) put(c Condition) {
	c.LastTransitionTime = m.now
	all := m.status.Conditions
	i := slices.IndexFunc(all, func(old Condition) bool { return old.Type == c.Type })
	switch {
	case i < 0:
		m.status.Conditions = append(all, c)
		slices.SortFunc(m.status.Conditions, func(a, b Condition) int {
			return strings.Compare(string(a.Type), string(b.Type))
		})
	case !all[i].saysAsMuchAs(c):
		all[i] = c
	}
}

// recompute derives the happy condition from the dependent that keeps the resource from being happy.
func (m Manager) recompute() {
	happy := Condition{Type: m.set.happy, Status: corev1.ConditionTrue}
	if worst := m.worst(); worst != nil {
		happy.Status, happy.Reason, happy.Message = worst.Status, worst.Reason, worst.Message
	}
	m.put(happy)
}

// worst returns the dependent that decides against the happy condition, or nil. An absent dependent counts as Unknown since ever.
func (m Manager) worst() *Condition {
	var worst *Condition
	for _, t := range m.set.dependents {
		c := m.Get(t)
		if c == nil {
			c = &Condition{Type: t, Status: corev1.ConditionUnknown}
		}
		if !c.IsTrue() && (worst == nil || c.outranks(worst)) {
			worst = c
		}
	}
	return worst
}

// outranks reports whether c decides rather than other, which is declared before it: False before Unknown, with a reason before without,
// then whichever changed last.
func (c *Condition) outranks(other *Condition) bool {
	if c.IsFalse() != other.IsFalse() {
		return c.IsFalse()
	}
	if (c.Reason == "") != (other.Reason == "") {
		return c.Reason != ""
	}
	return !c.LastTransitionTime.Before(&other.LastTransitionTime)
}
