// Package admission is what the API server asks before it stores an object of ours.
//
// In: the object as sent, the one it replaces, who sends it, and the ConfigMaps as last accepted.
// Out: the object with its defaults and the patch that makes it so, or the refusal; and warnings for whoever sent it.
//
// Hard rule: Admit is pure and total. The same request and ConfigMaps give the same answer, and every refusal names the object,
// the field and the remedy.
package admission
