package validation

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
)

// Result is what is wrong with an object, and what may not be meant.
type Result struct {
	Errors   field.ErrorList
	Warnings []string
}

func (r *Result) add(errs ...*field.Error) { r.Errors = append(r.Errors, errs...) }

func (r *Result) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

var (
	specPath        = field.NewPath("spec")
	annotationsPath = field.NewPath("metadata", "annotations")
)

// configFeatures is named in remedies.
var configFeatures = config.EventingObjectName(config.EventingFeaturesName)

// isEmpty reports whether a destination names nothing.
func isEmpty(d *duck.Destination) bool {
	return d == nil || equality.Semantic.DeepEqual(*d, duck.Destination{})
}

// optional validates a destination that may be left out.
func (r *Result) optional(d *duck.Destination, cfg *config.Eventing, path *field.Path) {
	if !isEmpty(d) {
		r.destination(d, cfg, path)
	}
}

// destination validates where events go: a reference, a URL, or a path relative to a reference.
func (r *Result) destination(d *duck.Destination, cfg *config.Eventing, path *field.Path) {
	switch {
	case isEmpty(d) || d.Ref == nil && d.URI == nil:
		r.add(field.Required(path, "name an object by ref, or give a uri"))
		return
	case d.Ref != nil:
		r.reference(d.Ref, cfg, path.Child("ref"))
	}
	if d.URI != nil {
		r.uri(*d.URI, d.Ref != nil, path.Child("uri"))
	}
	if d.CACerts != nil {
		r.certificates(*d.CACerts, path.Child("CACerts"))
	}
}

func (r *Result) uri(uri string, relative bool, path *field.Path) {
	u, err := url.Parse(uri)
	switch {
	case err != nil || uri == "":
		r.add(field.Invalid(path, uri, "is no URI; write one such as \"http://sink.default.svc.cluster.local/path\""))
	case relative && u.IsAbs():
		r.add(field.Invalid(path, uri, "must be relative beside ref, such as \"/path\"; remove ref, or the scheme and host"))
	case !relative && (!u.IsAbs() || u.Host == ""):
		r.add(field.Invalid(path, uri, "must be absolute without ref, with scheme and host; name an object by ref, or write the whole URI"))
	case !relative && u.Scheme != "http" && u.Scheme != "https":
		r.add(field.Invalid(path, uri, "must begin with http:// or https://"))
	}
}

// certificates refuses what has no certificate in it.
func (r *Result) certificates(certs string, path *field.Path) {
	if block, _ := pem.Decode([]byte(certs)); certs != "" && (block == nil || block.Type != "CERTIFICATE") {
		r.add(field.Invalid(path, certs, "is no certificate in PEM format; it begins with \"-----BEGIN CERTIFICATE-----\""))
	}
}

// reference validates the name of an object.
func (r *Result) reference(ref *duck.KReference, cfg *config.Eventing, path *field.Path) {
	if ref.Name == "" {
		r.add(field.Required(path.Child("name"), "name the object"))
	}
	if ref.Kind == "" {
		r.add(field.Required(path.Child("kind"), "give the object's kind, such as Service or Broker"))
	}
	switch groups := cfg.Features.Enabled(config.KReferenceGroup); {
	case ref.APIVersion == "" && ref.Group == "":
		r.add(field.Required(path.Child("apiVersion"), "give the API of the object's kind, such as v1 or serving.knative.dev/v1"))
	case ref.APIVersion == "" && !groups:
		r.add(field.Required(path.Child("apiVersion"), fmt.Sprintf(
			"give it in place of group, or set %s to \"enabled\" in %s", config.KReferenceGroup, configFeatures)))
	case ref.APIVersion != "" && ref.Group != "" && groups:
		r.add(field.Forbidden(path.Child("group"), "must not be set beside apiVersion; remove one of them"))
	}
}

// delivery validates how hard one tries.
func (r *Result) delivery(d *duck.DeliverySpec, cfg *config.Eventing, path *field.Path) {
	if d == nil {
		return
	}
	r.optional(d.DeadLetterSink, cfg, path.Child("deadLetterSink"))
	if d.Retry != nil && *d.Retry < 0 {
		r.add(field.Invalid(path.Child("retry"), *d.Retry, "must not be negative; 0 tries once"))
	}
	if d.Timeout != nil {
		r.open(config.DeliveryTimeout, cfg, path.Child("timeout"))
		r.duration(*d.Timeout, true, path.Child("timeout"))
	}
	if d.RetryAfterMax != nil {
		r.open(config.DeliveryRetryAfter, cfg, path.Child("retryAfterMax"))
		r.duration(*d.RetryAfterMax, false, path.Child("retryAfterMax"))
	}
	if d.BackoffDelay != nil {
		r.duration(*d.BackoffDelay, false, path.Child("backoffDelay"))
	}
	if d.BackoffMax != nil {
		r.duration(*d.BackoffMax, true, path.Child("backoffMax"))
	}
	if p := d.BackoffPolicy; p != nil {
		r.oneOf(string(*p), path.Child("backoffPolicy"), string(duck.BackoffPolicyLinear), string(duck.BackoffPolicyExponential))
	}
	if f := d.Format; f != nil {
		r.oneOf(string(*f), path.Child("format"), string(duck.DeliveryFormatJSON), string(duck.DeliveryFormatBinary))
	}
}

// open refuses a field whose feature is off.
func (r *Result) open(feature config.EventingFeature, cfg *config.Eventing, path *field.Path) {
	if !cfg.Features.Allowed(feature) {
		r.add(field.Forbidden(path, fmt.Sprintf("must not be set; remove it, or set %s to \"enabled\" in %s", feature, configFeatures)))
	}
}

func (r *Result) oneOf(value string, path *field.Path, words ...string) {
	for _, word := range words {
		if value == word {
			return
		}
	}
	r.add(field.NotSupported(path, value, words))
}

// duration refuses what is no ISO 8601 duration, negative, or nothing where it must be something.
func (r *Result) duration(s string, positive bool, path *field.Path) {
	d, err := duck.ParseDuration(s)
	switch {
	case err != nil:
		r.add(field.Invalid(path, s, "must be an ISO 8601 duration, such as \"PT0.2S\", \"PT30M\" or \"P1D\""))
	case d < 0:
		r.add(field.Invalid(path, s, "must not be negative"))
	case d == 0 && positive:
		r.add(field.Invalid(path, s, "must be more than nothing; leave it out for no limit"))
	}
}

// template validates which kind of channel to make.
func (r *Result) template(t *duck.ChannelTemplateSpec, path *field.Path) {
	if t == nil {
		r.add(field.Required(path, "name a kind of channel by apiVersion and kind, or set clusterDefault in "+
			config.EventingObjectName(config.ChannelDefaultsName)))
		return
	}
	if t.Kind == "" {
		r.add(field.Required(path.Child("kind"), "give the kind of channel, such as InMemoryChannel"))
	}
	if t.APIVersion == "" {
		r.add(field.Required(path.Child("apiVersion"), "give its API, such as messaging.knative.dev/v1"))
	}
}

// immutable refuses a change. remedy says what to do instead.
func (r *Result) immutable(old, changed any, path *field.Path, remedy string) {
	if equality.Semantic.DeepEqual(old, changed) {
		return
	}
	r.add(field.Forbidden(path, fmt.Sprintf("cannot be changed (was %s, is %s); %s", shown(old), shown(changed), remedy)))
}

// maxShown is how much of a value a message shows.
const maxShown = 120

func shown(value any) string {
	data, err := json.Marshal(value)
	switch {
	case err != nil:
		return "unreadable"
	case string(data) == "null" || string(data) == `""`:
		return "absent"
	case len(data) > maxShown:
		return string(data[:maxShown]) + "…"
	}
	return string(data)
}

const (
	keepIt    = "keep it, or delete the object and make it again"
	keepClass = "keep the class, or make a Broker of another name"
)
