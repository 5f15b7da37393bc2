package admission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"

	"ebb.dev/ebb/crds/config"
)

// Request is a change that somebody asks for.
type Request struct {
	Kind        schema.GroupVersionKind
	SubResource string
	Operation   admissionv1.Operation
	// Namespace and Name are the object's; Name is empty where the API server is yet to make one.
	Namespace, Name string
	// User is the name of who asks.
	User string
	// Old is the object that is there, as JSON; empty when one is created. New is the object to be; empty when one is deleted.
	Old, New []byte
}

// Response is the answer to a Request.
type Response struct {
	// Refusal says why not, one line per reason. Where it is empty the change is admitted.
	Refusal string
	// Warnings are for whoever asked, admitted or not.
	Warnings []string
	// Object is the object with its defaults, nil where nothing of it was looked at.
	Object runtime.Object
	// Patch makes New into Object.
	Patch []Operation
}

// Operation is one step of a JSON patch (RFC 6902).
type Operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// Admit answers a request by the ConfigMaps cfg. What is not ours to judge is admitted as it is: other kinds, deletions, status.
func Admit(req Request, cfg *config.Set) Response {
	judge, ours := kinds[req.Kind]
	changes := req.Operation == admissionv1.Create || req.Operation == admissionv1.Update
	if !ours || !changes || req.SubResource != "" {
		return Response{}
	}
	return judge(req, cfg)
}

// refuse answers with one reason.
func (req Request) refuse(format string, args ...any) Response {
	return Response{Refusal: Key(req.Kind.Kind, req.Namespace, req.Name) + ": " + fmt.Sprintf(format, args...)}
}

// decode reads an object. Unknown fields are refused with their paths: a typed copy would lose them without a word.
func decode(data []byte, into any) (problems []string, err error) {
	unknown, err := kjson.UnmarshalStrict(data, into)
	for _, problem := range unknown {
		text := problem.Error()
		what, path, ok := strings.Cut(text, ` "`)
		if !ok {
			problems = append(problems, text)
			continue
		}
		problems = append(problems, strings.TrimSuffix(path, `"`)+": "+what+", remove it or correct its spelling")
	}
	return problems, err
}

// wrongType is how the decoder tells of a value of the wrong type.
var wrongType = regexp.MustCompile(`^json: cannot unmarshal (\S+) into Go struct field [^.]+\.(\S+) of type (\S+)$`)

// unreadable answers for an object that is no object of its kind.
func (req Request) unreadable(err error) Response {
	parts := wrongType.FindStringSubmatch(err.Error())
	if parts == nil {
		return req.refuse("cannot be read: %v", err)
	}
	// Structs that are inlined in Go are in the decoder's path, with their Go names, and not in the object's.
	path := slices.DeleteFunc(strings.Split(parts[2], "."), func(segment string) bool { return segment == "" || unicode.IsUpper(rune(segment[0])) })
	return req.refuse("%s: is a %s, must be of type %s", strings.Join(path, "."), parts[1], parts[3])
}

// refuseAll answers with several reasons.
func (req Request) refuseAll(problems []string) Response {
	key := Key(req.Kind.Kind, req.Namespace, req.Name)
	for i := range problems {
		problems[i] = key + ": " + problems[i]
	}
	return Response{Refusal: strings.Join(problems, "\n")}
}

// patch returns the steps from the object as it was sent to the object with its defaults. Defaults touch the spec, labels and
// annotations only.
func patch(before, after content) ([]Operation, error) {
	var steps []Operation
	for _, part := range []struct {
		path    string
		was, is any
	}{
		{"/metadata/annotations", before.annotations, after.annotations},
		{"/metadata/labels", before.labels, after.labels},
		{"/spec", before.spec, after.spec},
	} {
		was, err := json.Marshal(part.was)
		if err != nil {
			return nil, err
		}
		is, err := json.Marshal(part.is)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(was, is) {
			steps = append(steps, Operation{Op: "add", Path: part.path, Value: is})
		}
	}
	return steps, nil
}

// content is what defaults may touch.
type content struct {
	annotations, labels map[string]string
	spec                any
}

// object is a kind of ours that is stored.
type object interface {
	runtime.Object
	metav1.Object
}
